"""Passwords in addresses are taken out at the start of a process, so that nothing after it can write them down."""

import os
from urllib.parse import unquote, urlsplit

ADDRESS, USER, PASSWORD = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


def has_credentials(address: str) -> bool:
    """Whether there is a user part in it."""
    return "@" in urlsplit(address).netloc


def hide_credentials() -> None:
    """Move the user part of the tracking server's address in the environment to where MLflow looks for it too.

    There it is inherited by the processes of the cells, and is no part of any configuration.
    """
    parts = urlsplit(os.environ.get(ADDRESS, ""))
    credentials, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme.startswith("http"):  # of a database it is what opens it
        return
    user, _, password = credentials.partition(":")
    os.environ[ADDRESS] = parts._replace(netloc=host).geturl()
    for name, value in ((USER, user), (PASSWORD, password)):
        os.environ.setdefault(name, unquote(value))
