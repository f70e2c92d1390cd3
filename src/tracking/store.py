"""The store that runs are recorded in: an MLflow server, or the SQLite file under outputs_dir.

MLflow creates a missing database wherever it is first asked for, and its schema migration is not safe against itself:
of several processes that start at once most fail, and the store may stay broken for good. So the database is created
beside its final place, under a lock, and moved there when it is whole.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from src.config import Config

os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # all four are read when mlflow is imported

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url

REASON = "reason"
"""The tag that says why a run did not finish."""

MAX_PARAM_LENGTH = 6000
"""MLflow cuts longer values; of a cell they are whole in the resolved configuration."""


@dataclass(frozen=True)
class Store:
    """Where runs go.

    Attributes:
        uri: the tracking URI.
        experiment_id: the experiment that runs are filed under.
        artifacts: the folder of the artifacts; None where a server decides.
    """

    uri: str
    experiment_id: str
    artifacts: Path | None

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)


def open_store(config: Config) -> Store:
    """The store that `config` names, created if it is not there yet, with the experiment in it."""
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    outputs = config.outputs_dir.resolve()
    if config.tracking.uri is None:
        artifacts = outputs / "artifacts"
        uri = f"sqlite:///{_database(outputs / 'mlflow.db')}"
    else:
        artifacts, uri = None, config.tracking.uri
    client = MlflowClient(uri)
    return Store(uri, _experiment(client, config.tracking.experiment, artifacts), artifacts)


def settle(store: Store) -> None:
    """Bring what SQLite has written beside its file into it: who copies the file then copies everything.

    The last connection to close does that too, but a process that is over leaves its connections open. Where another
    process is reading, it is left to the next.
    """
    if store.uri.startswith("sqlite:") and (path := make_url(store.uri).database):
        with closing(sqlite3.connect(path, timeout=1)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def as_default(store: Store) -> Iterator[None]:
    """Let MLflow's module-level functions use `store` for as long as the block runs.

    They also set environment variables for child processes, which would change what the next configuration resolves to.
    """
    variables = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
    before = {name: os.environ.pop(name, None) for name in variables}  # a run id left over would be continued
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _database(path: Path) -> Path:
    """The SQLite file at `path`, with MLflow's tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            temporary = path.with_name(f".{path.name}.creating")
            temporary.unlink(missing_ok=True)
            store = SqlAlchemyStore(f"sqlite:///{temporary}", (path.parent / "artifacts").as_uri())  # type: ignore[no-untyped-call]
            store.engine.dispose()
            with closing(sqlite3.connect(temporary)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not block one another
            temporary.replace(path)
    return path


def _experiment(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    """The id of the experiment called `name`, created by whoever comes first."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            # MLflow's default is relative to the creator's working directory
            return str(client.create_experiment(name, artifacts.as_uri() if artifacts else None))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            experiment = client.get_experiment_by_name(name)
            assert experiment is not None
    return str(experiment.experiment_id)
