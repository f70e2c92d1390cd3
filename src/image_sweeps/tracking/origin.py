"""The origin of a run, in the tags that MLflow shows."""

import getpass
import os

from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from image_sweeps.system.git import git_state


def origin() -> dict[str, str]:
    """Return who started which code, in our own tags and in the tags that MLflow's page shows.

    MLflow itself would add the address of the repository, which may contain a password.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container, the user may have no name
        user = str(os.getuid())
    git = git_state()
    commit = {MLFLOW_GIT_COMMIT: git["git.commit"]} if git else {}
    return {MLFLOW_USER: user, MLFLOW_SOURCE_NAME: "image_sweeps.train", MLFLOW_SOURCE_TYPE: "LOCAL", **commit, **git}
