"""Who started a run, in the tags that MLflow shows."""

import getpass
import os

from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from image_sweeps.cell.environment import git_state


def origin() -> dict[str, str]:
    """Who started what, in our tags and in those that MLflow's page shows.

    MLflow would add the address of the repository by itself, and with that perhaps the password in it.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container a user need not have a name
        user = str(os.getuid())
    git = git_state()
    commit = {MLFLOW_GIT_COMMIT: git["git.commit"]} if git else {}
    return {MLFLOW_USER: user, MLFLOW_SOURCE_NAME: "image_sweeps.train", MLFLOW_SOURCE_TYPE: "LOCAL", **commit, **git}
