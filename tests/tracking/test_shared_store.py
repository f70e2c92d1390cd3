"""A store for many machines: a server on PostgreSQL, whose artifacts are in an object store."""

import json
import os

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow import MlflowClient

from tests.tracking.servers import ObjectStore, Postgres, serving
from tests.tracking.test_outage import SWEEP, assert_all_is_there, command, folder_of, run

missing = Postgres.missing() or ObjectStore.missing()


def served(folder, database, objects):
    return serving(folder, database.uri, "s3://sweeps/mlflow", **objects.access)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep that has been recorded there: the server, the object store and the outputs."""
    outputs, database = tmp_path_factory.mktemp("outputs"), Postgres(tmp_path_factory.mktemp("postgres"))
    database.start()
    try:
        with ObjectStore() as objects, served(tmp_path_factory.mktemp("server"), database, objects) as server:
            assert "AWS_SECRET_ACCESS_KEY" not in os.environ
            done = run(command(outputs, server.uri, *SWEEP))
            assert (done.returncode, done.stderr) == (0, "")
            yield server, objects, outputs
    finally:
        database.stop()


@pytest.mark.skipif(missing is not None, reason=str(missing))
def test_every_record_arrives_without_a_key_of_the_object_store(swept):
    server, objects, outputs = swept
    assert_all_is_there(server.uri, outputs)
    names = objects.names()
    assert sum(name.endswith("checkpoints/best.pt") for name in names) == 3
    assert all(name.startswith("mlflow/") for name in names)


@pytest.mark.skipif(missing is not None, reason=str(missing))
def test_a_report_reads_the_files_of_the_best_cells_from_there(swept):
    server, _, outputs = swept
    for journal in folder_of(outputs).glob("*/records/journal.jsonl"):
        journal.unlink()  # as on a machine that has not trained them
    again = run(command(outputs, server.uri, f"sweep={folder_of(outputs).name}", module="src.report", flags=()))
    assert (again.returncode, again.stderr) == (0, "")
    report = json.loads((folder_of(outputs) / "report.json").read_text())
    assert report["counts"] == {"finished": 3}
    assert sum(map(sum, report["best"]["confusion"]["counts"])) == 360
    assert report["configurations"][0]["seconds"] > 0


@pytest.mark.skipif(missing is not None, reason=str(missing))
def test_a_model_is_loaded_from_there(swept):
    server, _, _ = swept
    client = MlflowClient(server.uri)
    (experiment,) = client.search_experiments(filter_string="name = 'image-classification'")
    model, *_ = client.search_logged_models([experiment.experiment_id])
    mlflow.set_tracking_uri(server.uri)
    try:
        logits = mlflow.pyfunc.load_model(model.model_uri).predict(np.zeros((2, 1, 8, 8), dtype=np.float32))
    finally:
        mlflow.set_tracking_uri(None)
    assert logits.shape == (2, 10)
