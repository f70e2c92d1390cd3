"""A store for many machines: a server on PostgreSQL, whose artifacts are in an object store."""

import json
import os
from contextlib import ExitStack

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow import MlflowClient

from tests.support import warm
from tests.support.servers import ObjectStore, Postgres, serving
from tests.support.tracked import (
    NUM_CELLS,
    SWEEP,
    assert_all_is_there,
    assert_said_once,
    folder_of,
    recorded_at,
    trained,
)
from tests.support.waiting import until

missing = Postgres.missing() or ObjectStore.missing()
pytestmark = pytest.mark.skipif(missing is not None, reason=str(missing))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The server, its database and its object store."""
    database = Postgres()
    with ExitStack() as running:
        database.start()
        running.callback(database.remove)
        objects = running.enter_context(ObjectStore())
        served = serving(tmp_path_factory.mktemp("server"), database.uri, "s3://sweeps/mlflow", **objects.access)
        yield running.enter_context(served), database, objects


@pytest.fixture(scope="module")
def swept(stores, tmp_path_factory):
    """A sweep that has been recorded there: the server, the object store and the outputs."""
    server, _, objects = stores
    outputs = tmp_path_factory.mktemp("outputs")
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ
    done = warm.run(*SWEEP, *recorded_at(server.uri, outputs, "shared"))
    assert (done.returncode, done.stderr) == (0, "")
    return server, objects, outputs


def test_every_record_arrives_without_a_key_of_the_object_store(swept):
    server, objects, outputs = swept
    assert_all_is_there(server.uri, outputs, "shared")
    names = objects.names()
    assert sum(name.endswith("checkpoints/best.pt") for name in names) == NUM_CELLS
    assert all(name.startswith("mlflow/") for name in names)


def test_a_report_reads_the_files_of_the_best_cells_from_there(swept):
    server, _, outputs = swept
    for journal in folder_of(outputs).glob("*/records/journal.jsonl"):
        journal.unlink()  # as on a machine that has not trained them
    where = (f"outputs_dir={outputs}", f"tracking.uri={server.uri}")
    again = warm.run(*where, f"sweep={folder_of(outputs).name}", module="src.report")
    assert (again.returncode, again.stderr) == (0, "")
    report = json.loads((folder_of(outputs) / "report.json").read_text())
    assert report["counts"] == {"finished": NUM_CELLS}
    assert sum(map(sum, report["best"]["confusion"]["counts"])) == 360
    assert report["configurations"][0]["seconds"] > 0


def test_a_model_is_loaded_from_there(swept):
    server, _, _ = swept
    client = MlflowClient(server.uri)
    model, *_ = client.search_logged_models([client.get_experiment_by_name("shared").experiment_id])
    mlflow.set_tracking_uri(server.uri)
    try:
        logits = mlflow.pyfunc.load_model(model.model_uri).predict(np.zeros((2, 1, 8, 8), dtype=np.float32))
    finally:
        mlflow.set_tracking_uri(None)
    assert logits.shape == (2, 10)


def test_of_a_database_that_stops_under_a_living_server_no_record_is_lost(stores, tmp_path):
    server, database, _ = stores
    with warm.start(*SWEEP, *recorded_at(server.uri, tmp_path, "stops")) as process:
        until(lambda: trained(tmp_path, 4), "the second cell")
        database.stop()
        assert_said_once(process)
    database.start()
    synced = warm.run(f"outputs_dir={tmp_path}", module="src.sync")
    assert synced.returncode == 0, synced.stderr
    assert_all_is_there(server.uri, tmp_path, "stops")
