"""Whole sweeps against a tracking server that goes away: nothing waits for it, and nothing is lost."""

import json
import subprocess
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from mlflow import MlflowClient

from src.tracking.courier import GONE
from src.tracking.journal import Journal, journals
from tests.conftest import ROOT
from tests.tracking.servers import Postgres, Server, free_port, serving, until

SWEEP = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]", "epochs=3", "seed=0,1,2", "hydra.launcher.slots=1")
EPOCH_METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr", "time/epoch_s")


def command(outputs, uri, *more, module="src.train", flags=("-m",)):
    return [sys.executable, "-m", module, *flags, f"outputs_dir={outputs}", f"tracking.uri={uri}", *more]


def run(arguments):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)


def start(arguments):
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def folder_of(outputs):
    (folder,) = (outputs / "sweeps").iterdir()
    return folder


def cell_journals(outputs):
    return [journal for journal in journals(folder_of(outputs)) if journal.home != folder_of(outputs)]


def trained(outputs, num_epochs):
    """Whether the cells have recorded so many epochs together."""
    if not (outputs / "sweeps").exists():
        return False
    epochs = [m for journal in cell_journals(outputs) for e in journal.entries() for m in e.get("metrics", ())]
    return sum(key == "val/loss" for key, *_ in epochs) >= num_epochs


def assert_all_is_there(uri, outputs, num_cells=3):
    """Every record of the sweep is in the store once, with the time at which it was taken."""
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'image-classification'")
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    (parent,) = (run for run in runs if run.data.tags["kind"] == "sweep")
    cells = [run for run in runs if run.data.tags["kind"] == "cell"]
    assert [run.info.status for run in runs] == ["FINISHED"] * (num_cells + 1)
    assert Counter(run.data.tags["cell"] for run in cells) == {j.home.name: 1 for j in cell_journals(outputs)}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {parent.info.run_id}
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    for journal in cell_journals(outputs):
        run_id, entries = journal.progress.run_id, journal.entries()
        taken = {(key, step, at_ms, value) for e in entries for key, value, at_ms, step in e.get("metrics", ())}
        histories = [client.get_metric_history(run_id, key) for key in client.get_run(run_id).data.metrics]
        stored = [(m.key, m.step, m.timestamp, m.value) for history in histories for m in history]
        assert len(stored) == len(taken)
        assert set(stored) == taken
        assert {key for key, step, *_ in stored if step} == set(EPOCH_METRICS)
        assert journal.progress.num_refused == 0
        files = {file.path for file in client.list_artifacts(run_id)}
        assert {"config.yaml", "environment.yaml", "history.csv", "figures", "checkpoints"} <= files
        assert "best.pt" in {f.path.split("/")[1] for f in client.list_artifacts(run_id, "checkpoints")}
        assert len(client.get_run(run_id).outputs.model_outputs) == 1


def assert_said_once(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert errors.count(GONE) + output.count(GONE) == 1
    assert "python -m src.tracking sync" in output
    assert "Traceback" not in output + errors


def test_of_a_server_that_dies_in_mid_sweep_and_comes_back_later_no_record_is_lost(tmp_path):
    outputs = tmp_path / "outputs"
    with serving(tmp_path) as server:
        process = start(command(outputs, server.uri, *SWEEP))
        until(lambda: trained(outputs, 4), "the second cell")
        server.kill()
        assert_said_once(process)
        report = (folder_of(outputs) / "report.html").read_text()
        assert "seed" in report
        assert all(json.loads(p.read_text())["status"] == "finished" for p in outputs.glob("sweeps/*/*/result.json"))
        failed = run(command(outputs, server.uri, module="src.tracking", flags=("sync",)))
        assert failed.returncode == 1
        assert "nothing answers there (connection refused)" in failed.stderr
        server.start()
        synced = run([sys.executable, "-m", "src.tracking", "sync", f"outputs_dir={outputs}"])
        assert (synced.returncode, synced.stderr) == (0, "")
        assert ", 0 left" in synced.stdout
        assert_all_is_there(server.uri, outputs)
        again = run([sys.executable, "-m", "src.tracking", "sync", f"outputs_dir={outputs}"])
        assert again.stdout.startswith("0 records brought")


def test_a_server_that_is_back_before_the_end_has_everything_without_further_ado(tmp_path):
    outputs = tmp_path / "outputs"
    with serving(tmp_path) as server:
        process = start(command(outputs, server.uri, *SWEEP, "epochs=400"))
        until(lambda: trained(outputs, 2), "two epochs")
        server.kill()
        until(lambda: any(j.num_pending > 3 for j in cell_journals(outputs)), "records that are kept")
        server.start()
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        assert "sync" not in output
        assert_all_is_there(server.uri, outputs)


@pytest.mark.skipif(Postgres.missing() is not None, reason=str(Postgres.missing()))
def test_of_a_database_that_stops_under_a_living_server_no_record_is_lost(tmp_path, tmp_path_factory):
    outputs, database = tmp_path / "outputs", Postgres(tmp_path_factory.mktemp("postgres"))
    database.start()
    try:
        with serving(tmp_path, database.uri) as server:
            process = start(command(outputs, server.uri, *SWEEP))
            until(lambda: trained(outputs, 4), "the second cell")
            database.stop()
            assert_said_once(process)
            database.start()
            synced = run([sys.executable, "-m", "src.tracking", "sync", f"outputs_dir={outputs}"])
            assert synced.returncode == 0, synced.stderr
            assert_all_is_there(server.uri, outputs)
    finally:
        database.stop()


def test_offline_a_sweep_needs_no_server_and_is_brought_there_later(tmp_path):
    outputs, server = tmp_path / "outputs", Server(tmp_path)
    done = run(command(outputs, server.uri, *SWEEP, "tracking.offline=true"))
    assert done.returncode == 0, done.stderr
    assert "python -m src.tracking sync" in done.stdout
    assert not (outputs / "mlflow.db").exists()
    assert not Journal(folder_of(outputs)).open
    with serving(tmp_path) as server:  # at another address than was thought
        synced = run(command(outputs, server.uri, module="src.tracking", flags=("sync",)))
        assert synced.returncode == 0, synced.stderr
        assert_all_is_there(server.uri, outputs)


def test_a_single_run_is_kept_and_brought_too(tmp_path):
    outputs = tmp_path / "outputs"
    with serving(tmp_path) as server:
        done = run(command(outputs, server.uri, *SWEEP[:3], "epochs=1", "tracking.offline=true", flags=()))
        assert done.returncode == 0, done.stderr
        synced = run([sys.executable, "-m", "src.tracking", "sync", f"outputs_dir={outputs}"])
        assert synced.returncode == 0, synced.stderr
        (found,) = MlflowClient(server.uri).search_runs(["1"])
        assert found.info.status == "FINISHED"


class Answering:
    """A server that always says the same."""

    def __init__(self, status, body):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815, http.server's names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("flags", [("-m",), ()], ids=["sweep", "single"])
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (None, b"", "nothing answers there (connection refused)"),
        (401, b"", "the server wants to know who is asking: set MLFLOW_TRACKING_USERNAME and"),
        (404, b"<html>", "what answers there is no MLflow server"),
        (200, b"<html>", "what answers there is no MLflow server"),
        (200, b"{}", "what answers there is no MLflow server"),
        (404, b'{"detail": "Not Found"}', "what answers there is no MLflow server"),
    ],
)
def test_a_server_that_is_wrong_from_the_start_is_one_error_before_any_training(tmp_path, status, body, reason, flags):
    server = Answering(status, body) if status else None
    uri = server.uri if server else f"http://127.0.0.1:{free_port()}"
    refused = run(command(tmp_path / "outputs", uri, *SWEEP[:4], flags=flags))
    if server:
        server.server.shutdown()
        server.server.server_close()
    assert refused.returncode == 2
    assert f"tracking.uri = '{uri}': {reason}" in refused.stderr
    assert "tracking.offline=true" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list((tmp_path / "outputs").glob("sweeps/*/*"))
