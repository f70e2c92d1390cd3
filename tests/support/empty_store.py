"""Outputs folders whose store is there already, and empty: MLflow takes a second to make its tables.

Here it does so once. That a store comes about by itself, whoever asks for it first, is shown in tests/tracking.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from image_sweeps.tracking.store import checkpoint_wal, store_at


def with_store(outputs):
    """`outputs`, made if it is not there, with a store in it unless it has one."""
    outputs.mkdir(parents=True, exist_ok=True)
    if not (database := outputs / "mlflow.db").exists():
        database.write_bytes(_tables())
    return outputs


@cache
def _tables():
    """The database as it is before its first experiment; that one says where its artifacts are."""
    with TemporaryDirectory() as folder:
        checkpoint_wal(store_at(Path(folder), None, "Default"))
        return Path(folder, "mlflow.db").read_bytes()
