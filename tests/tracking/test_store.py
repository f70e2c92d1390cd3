"""The store, with a real SQLite file and real processes."""

import re
import sqlite3
from contextlib import closing

import pytest
from mlflow import MlflowClient

from image_sweeps.config.problems import ConfigError
from image_sweeps.system.file_system import network_file_system
from image_sweeps.tracking.store import StoreError, checkpoint_wal, open_store, open_store_or_refuse
from tests.support.configurations import config_of
from tests.support.shared_folder import mounts


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def store(outputs):
    """One for all: it takes a second to make."""
    return open_store(config_of(f"outputs_dir={outputs}"))


def test_everything_of_the_embedded_store_is_under_outputs_dir(store, outputs):
    assert store.uri == f"sqlite:///{outputs}/mlflow.db"
    run = store.client.create_run(store.experiment_id)
    assert run.info.artifact_uri.startswith((outputs / "artifacts").as_uri())


def test_readers_do_not_block_the_writer(store, outputs):
    with sqlite3.connect(outputs / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_copy_of_a_settled_store_has_everything(store, outputs, tmp_path):
    run = store.client.create_run(store.experiment_id)
    checkpoint_wal(store)
    copy = tmp_path / "copy.db"
    copy.write_bytes((outputs / "mlflow.db").read_bytes())
    assert MlflowClient(f"sqlite:///{copy}").get_run(run.info.run_id).info.run_id == run.info.run_id


def test_a_store_that_is_being_read_is_settled_later(store, outputs):
    with closing(sqlite3.connect(outputs / "mlflow.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        store.client.create_run(store.experiment_id)
        checkpoint_wal(store)  # and does not wait for good, nor fail
    checkpoint_wal(store)
    assert not (outputs / "mlflow.db-wal").stat().st_size


def test_a_second_opening_finds_the_same_experiment(store, outputs):
    assert open_store(config_of(f"outputs_dir={outputs}")) == store


def test_the_experiment_is_named_by_the_config(store, outputs):
    mine = open_store(config_of(f"outputs_dir={outputs}", "tracking.experiment=mine"))
    assert mine.client.get_experiment(mine.experiment_id).name == "mine"
    assert mine.experiment_id != store.experiment_id


def test_what_a_killed_creator_left_does_no_harm(tmp_path):
    (tmp_path / ".mlflow.db.creating").write_bytes(b"half a database")
    store = open_store(config_of(f"outputs_dir={tmp_path}"))
    assert store.client.get_experiment(store.experiment_id).name == "image-classification"


@pytest.mark.parametrize("kind", ["nfs4", "sshfs"])
def test_sqlite_on_a_network_file_system_is_refused_with_the_reason(tmp_path, kind):
    (tmp_path / "shared").mkdir()
    with mounts(tmp_path / "shared", "mounted", options=f"subtype={kind}") as (mounted,):
        outputs = mounted / "new" / "outputs"
        for override in (f"outputs_dir={outputs}", f"tracking.uri='sqlite:///{outputs}/mine.db'"):
            why = f"is not safe on a network file system ({kind}): what one machine locks and maps into memory, another"
            with pytest.raises(StoreError, match=re.escape(why)):
                open_store(config_of(override))
        assert not outputs.exists()
        told = re.escape("Start a tracking server and name it with tracking.uri=http://..., or keep the records")
        with pytest.raises(ConfigError, match=told):
            open_store_or_refuse(config_of(f"outputs_dir={outputs}"))
        assert open_store_or_refuse(config_of(f"outputs_dir={outputs}", "tracking.offline=true")) is None


def test_a_file_system_is_that_of_the_folder_that_would_hold_it(tmp_path):
    (tmp_path / "shared" / "inner").mkdir(parents=True)
    with mounts(tmp_path / "shared", "mounted", options="subtype=nfs") as (mounted,):
        (tmp_path / "link").symlink_to(mounted)
        assert network_file_system(mounted / "inner" / "not" / "there") == "nfs"
        assert network_file_system(tmp_path / "link") == "nfs"
        assert network_file_system(tmp_path / "mounted-beside") is None
    assert network_file_system(mounted) is None
