"""Removal of passwords from addresses at the start of a process, so that no later code can write them down."""

import os
from urllib.parse import unquote, urlsplit

ADDRESS, USER, PASSWORD = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


def has_credentials(address: str) -> bool:
    """Return whether the address has a user part."""
    return "@" in urlsplit(address).netloc


def hide_credentials() -> None:
    """Move the user part of the tracking server's address to the environment variables that MLflow also reads.

    The processes of the cells inherit these variables, and no configuration contains them.
    """
    parts = urlsplit(os.environ.get(ADDRESS, ""))
    credentials, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme.startswith("http"):  # a database cannot be opened without its user part
        return
    user, _, password = credentials.partition(":")
    os.environ[ADDRESS] = parts._replace(netloc=host).geturl()
    for name, value in ((USER, user), (PASSWORD, password)):
        os.environ.setdefault(name, unquote(value))
