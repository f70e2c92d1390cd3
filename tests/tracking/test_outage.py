"""Whole sweeps against a tracking server that goes away: nothing waits for it, and nothing is lost."""

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from mlflow import MlflowClient

from image_sweeps.config.problems import ConfigError
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import open_store_or_refuse
from tests.support import warm
from tests.support.configurations import config_of
from tests.support.servers import Breaking, free_port, serving
from tests.support.tracked import (
    SWEEP,
    TINY,
    assert_all_is_there,
    assert_said_once,
    cell_journals,
    folder_of,
    recorded_at,
    trained,
)
from tests.support.waiting import until

GROUP = "server"


def sync(outputs, *overrides):
    return warm.run(f"outputs_dir={outputs}", *overrides, module="src.sync")


def test_of_a_server_that_dies_in_mid_sweep_and_comes_back_later_no_record_is_lost(tmp_path):
    outputs = tmp_path / "outputs"
    with serving(tmp_path) as mortal:
        with warm.start(*SWEEP, *recorded_at(mortal.uri, outputs, "dies")) as process:
            until(lambda: trained(outputs, 4), "the second cell")
            mortal.kill()
            assert_said_once(process)
        report = (folder_of(outputs) / "report.html").read_text()
        assert "seed" in report
        assert all(json.loads(p.read_text())["status"] == "finished" for p in outputs.glob("sweeps/*/*/result.json"))
        failed = sync(outputs, f"tracking.uri={mortal.uri}")
        assert failed.returncode == 1
        assert "nothing answers there (connection refused)" in failed.stderr
        mortal.start()
        synced = sync(outputs)
        assert (synced.returncode, synced.stderr) == (0, "")
        assert ", 0 left" in synced.stdout
        assert_all_is_there(mortal.uri, outputs, "dies")
        again = sync(outputs)
        assert again.stdout.startswith("0 records brought")


def test_a_server_that_is_back_before_the_end_has_everything_without_further_ado(server, tmp_path):
    """Here it is the way to it that is cut: what is killed and started again is above."""
    outputs, way = tmp_path / "outputs", Breaking(server.port)
    with warm.start(*SWEEP, "epochs=100", *recorded_at(way.uri, outputs, "is back")) as process:
        until(lambda: trained(outputs, 2), "two epochs")
        way.loses = lambda _: True
        until(lambda: way.lost and any(j.num_pending > 3 for j in cell_journals(outputs)), "records that are kept")
        way.loses = lambda _: False
        output, errors = process.communicate()
    way.close()
    assert process.returncode == 0, errors
    assert "sync" not in output
    assert_all_is_there(server.uri, outputs, "is back")


def test_offline_a_sweep_needs_no_server_and_is_brought_there_later(server, tmp_path):
    outputs, elsewhere = tmp_path / "outputs", f"http://127.0.0.1:{free_port()}"
    done = warm.run(*SWEEP, *recorded_at(elsewhere, outputs, "offline"), "tracking.offline=true")
    assert done.returncode == 0, done.stderr
    assert "python -m src.sync" in done.stdout
    assert not (outputs / "mlflow.db").exists()
    assert not Journal(folder_of(outputs)).open
    synced = sync(outputs, f"tracking.uri={server.uri}")  # at another address than was thought
    assert synced.returncode == 0, synced.stderr
    assert_all_is_there(server.uri, outputs, "offline")


def test_a_single_run_is_kept_and_brought_too(server, tmp_path):
    outputs = tmp_path / "outputs"
    where = recorded_at(server.uri, outputs, "single run")
    done = warm.run(*TINY, "epochs=1", *where, "tracking.offline=true")
    assert done.returncode == 0, done.stderr
    synced = sync(outputs)
    assert synced.returncode == 0, synced.stderr
    client = MlflowClient(server.uri)
    (found,) = client.search_runs([client.get_experiment_by_name("single run").experiment_id])
    assert found.info.status == "FINISHED"


@contextmanager
def answering(status, body):
    """The address of a server that always says the same."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815, http.server's names

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


NOT_ASKED = "the server wants to know who is asking: set MLFLOW_TRACKING_USERNAME and"
NO_SERVER = "what answers there is no MLflow server"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b"", NOT_ASKED),
        (404, b"<html>", NO_SERVER),
        (200, b"<html>", NO_SERVER),
        (200, b"{}", NO_SERVER),
        (404, b'{"detail": "Not Found"}', NO_SERVER),
    ],
)
def test_a_server_that_answers_wrongly_is_one_error_with_its_reason(tmp_path, status, body, reason):
    """`open_store_or_refuse` is what both kinds of command begin with, as the next test shows."""
    with answering(status, body) as uri, pytest.raises(ConfigError) as refused:
        open_store_or_refuse(config_of(f"outputs_dir={tmp_path}", f"tracking.uri={uri}"))
    (problem,) = refused.value.problems
    assert re.match(re.escape(f"tracking.uri = '{uri}': {reason}"), problem)
    assert "tracking.offline=true" in problem


@pytest.mark.parametrize("flags", [("-m", "seed=0,1"), ()], ids=["sweep", "single"])
def test_without_a_server_from_the_start_there_is_one_error_before_any_training(tmp_path, flags):
    uri = f"http://127.0.0.1:{free_port()}"
    refused = warm.run(*flags, *TINY, f"outputs_dir={tmp_path}/outputs", f"tracking.uri={uri}")
    assert refused.returncode == 2
    assert f"tracking.uri = '{uri}': nothing answers there (connection refused)" in refused.stderr
    assert "tracking.offline=true" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list((tmp_path / "outputs").glob("sweeps/*/*"))
