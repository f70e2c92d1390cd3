"""The store that runs are recorded in: an MLflow server, or the SQLite file under outputs_dir.

MLflow creates a missing database on first use, and its schema migration is not safe against itself: if several
processes start at once, most of them fail, and the store may stay broken for good. The database is therefore created
beside its final place, under a lock, and moved there when it is complete.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from image_sweeps.config.invocation import program
from image_sweeps.config.problems import ConfigError, near
from image_sweeps.config.schema import Config
from image_sweeps.system.file_system import network_file_system
from image_sweeps.system.files import locked

os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # all four are read when mlflow is imported
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # undelivered records are kept, so nothing has to wait
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import logging
import re
import shlex
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

import mlflow
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

MAX_PARAM_LENGTH = 6000
"""The length at which the value of a parameter is cut. The resolved configuration of a cell holds the whole value."""


class StoreError(Exception):
    """The store cannot be used; the message says why, and what can be done."""


class MissingStoreError(StoreError):
    """There is no store, or no such experiment in it."""


UNUSABLE = (MlflowException, SQLAlchemyError, CommandError, OSError)
"""The errors by which MLflow, and the libraries below it, say that a store cannot be used."""


@dataclass(frozen=True)
class Store:
    """The store that runs are recorded in.

    Attributes:
        uri: the tracking URI.
        experiment_id: the id of the experiment that runs are filed under.
    """

    uri: str
    experiment_id: str

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)


def open_store(config: Config) -> Store:
    """Open the store that `config` names, as `store_at` does."""
    return store_at(config.outputs_dir, config.tracking.uri, config.tracking.experiment)


def find_store(outputs_dir: Path, uri: str | None, experiment: str) -> Store:
    """Return the store where runs were recorded; unlike `open_store`, this creates nothing.

    Args:
        outputs_dir: the output folder of the runs.
        uri: a server's address, or None for the file under `outputs_dir`.
        experiment: the name of the experiment that the runs are filed under.

    Raises:
        MissingStoreError: if there is no store, or no such experiment in it.
        StoreError: if the store cannot be used.
    """
    if uri is None:
        database = outputs_dir.resolve() / "mlflow.db"
        if not database.exists():
            raise MissingStoreError(f"outputs_dir = {outputs_dir}: nothing was recorded there ({database} is missing)")
        uri = f"sqlite:///{database}"
    try:
        ids = {found.name: str(found.experiment_id) for found in MlflowClient(uri).search_experiments()}
    except UNUSABLE as error:
        raise StoreError(f"tracking.uri = {uri}: {explain_error(error, uri)}") from None
    if experiment not in ids:
        known = f"{near(experiment, list(ids))} It has {', '.join(ids)}"
        raise MissingStoreError(f"experiment = {experiment!r}: the store has none of this name.{known}")
    return Store(uri, ids[experiment])


def store_at(outputs_dir: Path, uri: str | None, experiment: str) -> Store:
    """Open the store at a server's address, or else under `outputs_dir`; create store and experiment if missing.

    Raises:
        StoreError: if the store cannot be reached or created, or its MLflow version is not readable by this one.
    """
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # details of errors that are raised too
    outputs = outputs_dir.resolve()
    place = f"tracking.uri = {uri!r}" if uri else f"outputs_dir = {str(outputs_dir)!r}"
    artifacts = None if uri else outputs / "artifacts"
    if kind := _unsafe(uri or f"sqlite:///{outputs / 'mlflow.db'}"):
        raise StoreError(f"{place}: {ON_A_NETWORK.format(kind=kind)}")
    try:
        uri = uri or f"sqlite:///{_database(outputs / 'mlflow.db')}"
        client = MlflowClient(uri)
        experiment_id = _experiment(client, experiment, artifacts)
    except UNUSABLE as error:
        raise StoreError(f"{place}: {explain_error(error, uri or '')}") from error
    if not experiment_id:  # MLflow's client gets this far with any server that answers in JSON
        raise StoreError(f"{place}: {NO_SERVER}")
    return Store(uri, experiment_id)


NO_SERVER = "what answers there is no MLflow server"

ON_A_NETWORK = (
    "SQLite, which would hold the records, is not safe on a network file system ({kind}): what one machine locks and "
    "maps into memory, another does not see (https://sqlite.org/wal.html). Start a tracking server and name it with "
    "tracking.uri=http://..., or keep the records in files for now with tracking.offline=true, or set outputs_dir to a "
    "local disk"
)


def _unsafe(uri: str) -> str | None:
    """Return the kind of network file system that an SQLite store would be on, else None."""
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    return network_file_system(Path(database)) if database else None


def explain_error(error: BaseException, uri: str) -> str:
    """Return why a store could not be used, in words for the user; MLflow's own messages name Python objects.

    Args:
        error: the error that MLflow, or a library below MLflow, raised.
        uri: the URI of the store.
    """
    root, code, text = list(_causes(error))[-1], getattr(error, "error_code", None), first_line(error)
    if isinstance(root, OSError) and uri.startswith("http"):
        return _of_network(root)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return (
            "the server wants to know who is asking: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, in the environment"
        )
    if code == "ENDPOINT_NOT_FOUND" or "valid JSON format" in text or "INTERNAL_ERROR: Response:" in text:
        return NO_SERVER
    if "database or disk is full" in text:
        return "its disk is full: make room there"
    if found := re.search(r"out-of-date database schema \(found version (\w+)", text):
        if any((Path(mlflow.__file__).parent / "store/db_migrations/versions").glob(f"{found[1]}*")):
            return f"the database is of an older MLflow. Make a copy of it, then: mlflow db upgrade {uri}"
        return f"the database is of a newer MLflow than {mlflow.__version__}, which is installed here"
    return text


def _of_network(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT']} s"
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers there (connection refused)"
    if isinstance(error, socket.gaierror):
        return "there is no host of this name"
    return first_line(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, then its causes."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """Return the first line of the error's message, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def checkpoint_wal(store: Store) -> None:
    """Merge SQLite's write-ahead log into the database file, so that a copy of the file is complete.

    The last connection that closes would do so too, but a process that ends does not close its connections. If another
    process is reading, or the disk is full, the merge is left to a later call: nothing is lost by that.
    """
    if store.uri.startswith("sqlite:") and (path := make_url(store.uri).database):
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=1)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _database(path: Path) -> Path:
    """Return the SQLite file at `path`, which is created with MLflow's tables if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
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
    """Return the id of the experiment called `name`, which is created unless it exists."""
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


def open_store_or_refuse(config: Config) -> Store | None:
    """Open the store before anything is trained; return None if `tracking.offline` keeps the records on the disk.

    Raises:
        ConfigError: if the store cannot be opened now. A store that becomes unavailable later is no error.
    """
    if config.tracking.offline:
        return None
    try:
        return open_store(config)
    except StoreError as error:
        sync = shlex.join(program("sync"))
        later = f"\ntracking.offline=true trains without it; `{sync}` then brings the records there later"
        raise ConfigError([f"{error}{later if config.tracking.uri else ''}"]) from None
