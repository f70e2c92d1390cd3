"""Many writers at once on a store that does not exist yet: real processes, a real file, a real server."""

import sqlite3
from contextlib import closing

import pytest

from image_sweeps.launch import fork_server
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import open_store, store_at
from tests.support.configurations import config_of
from tests.support.run_writers import write_one
from tests.support.soak import depth

GROUP = "server"
NUM_WRITERS, NUM_ROUNDS = depth(8, 16), depth(1, 2)


@pytest.fixture(params=["file", "server"])
def uri(request):
    return None if request.param == "file" else request.getfixturevalue("server").uri


@pytest.mark.deep
@pytest.mark.parametrize("number", range(NUM_ROUNDS))
def test_of_writers_that_start_at_once_every_one_leaves_its_whole_run(uri, tmp_path, number):
    fork_server.start()  # a process has one of its kind, which tests of the pool in this worker need as it is
    context = fork_server.CONTEXT
    barrier = context.Barrier(NUM_WRITERS)
    experiment = f"round {number}"
    homes = [tmp_path / str(writer) for writer in range(NUM_WRITERS)]
    writers = [context.Process(target=write_one, args=(home, tmp_path, uri, experiment, barrier)) for home in homes]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * NUM_WRITERS
    assert [(Journal(home).num_pending, Journal(home).progress.num_refused) for home in homes] == [(0, 0)] * NUM_WRITERS
    store = store_at(tmp_path, uri, experiment)
    assert len(store.client.search_experiments(filter_string=f"name = '{experiment}'")) == 1
    runs = store.client.search_runs([store.experiment_id])
    assert len(runs) == NUM_WRITERS
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params == {f"p{n}": str(n) for n in range(50)}
        assert [logged.dataset.digest for logged in run.inputs.dataset_inputs] == ["d1"]
        assert [m.value for m in store.client.get_metric_history(run.info.run_id, "loss")] == [
            1,
            1 / 2,
            1 / 3,
            1 / 4,
            1 / 5,
        ]
        assert [file.path for file in store.client.list_artifacts(run.info.run_id)] == ["a.txt"]


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("451aebb31d03", "the database is of an older MLflow. Make a copy of it, then: mlflow db upgrade sqlite:///"),
        ("ffffffffffff", "the database is of a newer MLflow than"),
    ],
)
def test_a_store_of_another_mlflow_is_said_to_be_one_and_left_as_it_is(command_line, tmp_path, revision, message):
    open_store(config_of(f"outputs_dir={tmp_path}"))
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    refused = command_line(f"outputs_dir={tmp_path}", "dataset.image_size=8", "epochs=1")
    assert refused.returncode == 2
    assert f"outputs_dir = '{tmp_path}': {message}" in refused.stderr
    assert "Traceback" not in refused.stderr
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]
