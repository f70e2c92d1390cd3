"""Delivery to a real MLflow server, over a network that loses requests and answers."""

import math
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from filelock import FileLock

from image_sweeps.cell.status import CellStatus
from image_sweeps.tracking.delivery import MODEL, StoreUnavailableError, deliver, deliver_all
from image_sweeps.tracking.delivery_thread import BACK, GONE, DeliveryThread
from image_sweeps.tracking.journal import LOCK, Journal
from image_sweeps.tracking.store import store_at
from tests.support.configurations import config_of
from tests.support.servers import Breaking
from tests.support.waiting import until

GROUP = "server"
EXPERIMENT = "faults"


@pytest.fixture
def way(server):
    """To the server, on which messages can be lost."""
    way = Breaking(server.port)
    yield way
    way.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved network."""
    path = tmp_path_factory.mktemp("model") / MODEL
    example = np.zeros((2, 3), np.float32)
    network = torch.nn.Linear(3, 2).eval()
    mlflow.pytorch.save_model(network, path, input_example=example, pip_requirements=["torch"])
    return path


def tracking_to(uri):
    return config_of(f"tracking.uri={uri}", f"tracking.experiment={EXPERIMENT}").tracking


def open_at(uri):
    return store_at(Path("unused"), uri, EXPERIMENT)


def write(home, uri, model):
    """A sweep's journal and that of a cell, with something of everything."""
    sweep, cell = Journal(home), Journal(home / "cell")
    sweep.begin("sweep", {"kind": "sweep"}, tracking_to(uri), nested=False)
    cell.begin("cell", {"kind": "cell"}, tracking_to(uri), nested=True)
    cell.params({f"p{number}": number for number in range(120)})
    facts = {"name": "digits", "digest": "d1", "source_type": "code", "source": "{}", "profile": "{}"}
    cell.dataset(**facts, context="train")
    with cell.files() as folder:
        (folder / "figures").mkdir()
        (folder / "figures" / "a.txt").write_text("a")
        (folder / "b.txt").write_text("b")
    for epoch in (1, 2):
        cell.metrics([("loss", 1 / epoch, 1000 + epoch, epoch), ("nan", math.nan, 1000 + epoch, epoch)])
    cell.end(CellStatus.INTERRUPTED, "interrupted")
    cell.begin("cell", {"kind": "cell"}, tracking_to(uri), nested=True)
    cell.metrics([("loss", 0.5, 1002, 2), ("test/accuracy", 0.9, 1002, 0)])
    with cell.files("model") as folder:
        (folder / MODEL).symlink_to(model, target_is_directory=True)
    cell.end(CellStatus.FINISHED)
    sweep.end(CellStatus.FINISHED)
    return sweep, cell


def known(store, journal):
    """All that the store has of the run of a journal."""
    client, token = store.client, journal.entries()[0]["token"]
    (run,) = client.search_runs([store.experiment_id], f"tags.token = '{token}'")
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    models = [client.get_logged_model(output.model_id) for output in run.outputs.model_outputs] if run.outputs else []
    return SimpleNamespace(
        status=run.info.status,
        name=run.info.run_name,
        times=(run.info.start_time, run.info.end_time),
        params=run.data.params,
        tags={key: value for key, value in run.data.tags.items() if key != "mlflow.parentRunId"},
        metrics=sorted((m.key, m.step, m.timestamp, repr(m.value)) for found in histories.values() for m in found),
        datasets=[logged.dataset.digest for logged in run.inputs.dataset_inputs] if run.inputs else [],
        files=sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        models=[(model.status, model.name, {m.key: m.value for m in model.metrics or []}) for model in models],
        parent=run.data.tags.get("mlflow.parentRunId"),
        id=run.info.run_id,
    )


def expected(journal):
    """The same, by the journal."""
    entries = journal.entries()
    return {
        "status": "FINISHED",
        "times": (entries[0]["at_ms"], entries[-1]["at_ms"]),
        "params": {f"p{number}": str(number) for number in range(120)},
        "tags": {"kind": "cell", "token": entries[0]["token"], "mlflow.runName": "cell"},
        "metrics": sorted(
            [
                ("loss", 1, 1001, "1.0"),
                ("loss", 2, 1002, "0.5"),
                ("nan", 1, 1001, "nan"),
                ("nan", 2, 1002, "nan"),
                ("test/accuracy", 0, 1002, "0.9"),
            ]
        ),
        "datasets": ["d1"],
        "files": ["b.txt", "figures"],
        "models": [("READY", "model", {"test/accuracy": 0.9})],
    }


def assert_all_is_there_once(store, sweep, cell):
    found = known(store, cell)
    assert {key: getattr(found, key) for key in expected(cell)} == expected(cell)
    assert found.parent == known(store, sweep).id
    assert cell.num_pending == sweep.num_pending == 0


LOST = pytest.mark.parametrize("answer_lost", [True, False], ids=["answer", "request"])
"""A lost answer is the harder case: the server has acted, and who asked cannot know."""


def retried_at_once(message):
    """A data set is: two runs race to be the first to name it."""
    return message.path.endswith("log-inputs")


@LOST
def test_every_record_arrives_once_though_every_message_is_lost_once(server, way, model, tmp_path, answer_lost):
    """In one delivery, which goes on after each loss: what is there twice stays so. In `soak` each is lost alone."""
    store, num_away = open_at(way.uri), 0
    sweep, cell = write(tmp_path, way.uri, model)
    way.answer_lost, way.loses = answer_lost, lambda message: message not in way.lost
    while sweep.num_pending or cell.num_pending:
        try:
            deliver_all(tmp_path, store)
        except StoreUnavailableError:
            num_away += 1
    assert num_away == sum(not retried_at_once(message) for message in way.lost) > 20
    assert_all_is_there_once(open_at(server.uri), sweep, cell)


@pytest.mark.soak
@LOST
def test_every_record_arrives_once_whichever_message_is_lost(server, way, model, tmp_path, answer_lost):
    store, number = open_at(way.uri), 0
    way.answer_lost = answer_lost
    while len(way.lost) == number:
        number += 1
        home = tmp_path / str(number)
        sweep, cell = write(home, way.uri, model)
        way.passed.clear()
        way.loses = lambda _, number=number: len(way.passed) == number - 1 and len(way.lost) < number
        away = False
        try:
            deliver_all(home, store)
        except StoreUnavailableError:
            away = True
            deliver_all(home, store)
        assert away == (len(way.lost) == number and not retried_at_once(way.lost[-1]))
        assert_all_is_there_once(open_at(server.uri), sweep, cell)
    assert number > 20


def test_a_cell_brings_the_sweep_that_it_belongs_to(server, model, tmp_path):
    sweep, cell = write(tmp_path, server.uri, model)
    store = open_at(server.uri)
    deliver(cell, store)
    assert known(store, cell).parent == known(store, sweep).id


def test_files_stay_until_they_have_arrived_and_no_longer(server, model, tmp_path):
    _, cell = write(tmp_path, server.uri, model)
    assert cell.file("figures/a.txt").read_text() == "a"
    deliver(cell, open_at(server.uri))
    assert cell.file("figures/a.txt") is None
    assert not any(path.is_dir() for path in cell.folder.iterdir())
    assert model.exists()


def test_what_the_server_refuses_is_kept_apart_and_the_rest_arrives(server, tmp_path):
    journal = Journal(tmp_path)
    journal.begin("run", {}, tracking_to(server.uri), nested=False)
    journal.metrics([("no such key!", 1.0, 1, 1)])
    journal.metrics([("fine", 1.0, 1, 1)])
    store = open_at(server.uri)
    deliver(journal, store)
    assert known(store, journal).metrics == [("fine", 1, 1, "1.0")]
    assert (journal.num_pending, journal.progress.num_refused) == (0, 1)
    assert "no such key!" in (journal.folder / "refused.jsonl").read_text()


def test_a_run_that_somebody_deletes_for_good_meanwhile_stops_nothing(server, tmp_path):
    journal = Journal(tmp_path)
    journal.begin("run", {}, tracking_to(server.uri), nested=False)
    store = open_at(server.uri)
    deliver(journal, store)
    store.client.delete_run(journal.progress.run_id)
    journal.metrics([("m", 1.0, 1, 1)])
    journal.end(CellStatus.FINISHED)
    deliver(journal, store)
    assert journal.num_pending == 0
    assert journal.progress.num_refused > 0


def test_a_journal_that_another_process_delivers_is_left_to_it(server, tmp_path):
    journal = Journal(tmp_path)
    journal.begin("run", {}, tracking_to(server.uri), nested=False)
    with FileLock(journal.folder / LOCK):
        deliver(journal, open_at(server.uri))
    assert journal.num_pending == 1


def test_a_courier_says_once_that_the_store_is_gone_and_once_that_it_is_back(way, tmp_path, monkeypatch):
    monkeypatch.setattr("image_sweeps.tracking.delivery_thread.RETRY_S", 0.2)
    journal, said = Journal(tmp_path / "cell"), []
    journal.begin("run", {}, tracking_to(way.uri), nested=False)
    delivery_thread = DeliveryThread(journal, lambda: open_at(way.uri), said.append)
    delivery_thread.wake()
    until(lambda: journal.num_pending == 0, "the first delivery")
    way.loses = lambda _: True
    for epoch in (1, 2, 3):
        journal.metrics([("m", 1.0, epoch, epoch)])
        delivery_thread.wake()
    until(lambda: said, "a word")
    assert journal.num_pending == 3
    way.loses = lambda _: False
    until(lambda: journal.num_pending == 0, "the second delivery")
    journal.end(CellStatus.FINISHED)
    delivery_thread.close(settled=True)
    assert said == [GONE, BACK]
    found = known(open_at(way.uri), journal)
    assert found.metrics == [("m", epoch, epoch, "1.0") for epoch in (1, 2, 3)]
    assert found.status == "FINISHED"


def test_a_courier_does_not_wait_for_a_store_that_stays_away(tmp_path):
    journal, said = Journal(tmp_path), []
    journal.begin("run", {}, tracking_to("http://127.0.0.1:9"), nested=False)
    delivery_thread = DeliveryThread(journal, lambda: open_at("http://127.0.0.1:9"), said.append)
    delivery_thread.close(settled=True)
    assert said == [GONE]
    assert journal.num_pending == 1


def test_recording_does_not_wait_for_a_server_that_hangs(tmp_path):
    """The way to the server takes connections and says nothing; what is recorded meanwhile is on the disk."""
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        journal = Journal(tmp_path)
        journal.begin("run", {}, tracking_to(uri), nested=False)
        delivery_thread = DeliveryThread(journal, lambda: open_at(uri), lambda _: None)
        delivery_thread.wake()
        connection, _ = deaf.accept()  # now it waits
        for epoch in range(100):
            journal.metrics([("m", 1.0, epoch, epoch)])
            delivery_thread.wake()
        assert journal.num_pending == 101
        connection.close()
