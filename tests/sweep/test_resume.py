"""A sweep that was cut off, and the same command again."""

import ast
import json
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.composition import hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.attempt import run_attempt
from image_sweeps.sweep.plan import plan
from image_sweeps.sweep.run import dry_run, run_sweep
from image_sweeps.tracking.journal import Journal
from tests.support import warm
from tests.support.empty_store import with_store
from tests.support.listeners import Unfailing

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]")
DEADLINE_S = 120
ACCURACIES = ("best/val_accuracy", "test/accuracy", "test/accuracy_low", "test/accuracy_high")


class Failures(Unfailing):
    """Keeps the failures that it is told of."""

    def __init__(self):
        self.failures = []

    def on_failure(self, cell, text):
        self.failures.append(text)


def untrained(cell, folder, listener):
    """What a cell leaves behind that has learned nothing: a run that has finished, and its result."""
    journal = Journal(folder)
    tags = {"kind": "cell", "cell": cell.id, "sweep": cell.sweep.id}
    journal.begin(cell.name, tags, cell.config.tracking, nested=True)
    journal.params({"num_parameters": 1})
    journal.metrics([(key, 0.5, 1, 1) for key in ("train/loss", "val/accuracy", "time/epoch_s")])
    journal.metrics([(key, 0.5, 1, 0) for key in ("best/epoch", "best/val_loss", *ACCURACIES)])
    journal.end(CellStatus.FINISHED)
    Result(cell.id, cell.name, CellStatus.FINISHED).save(folder)


class Sweeps:
    """Sweeps of one outputs folder, and what is recorded of them."""

    def __init__(self, outputs):
        self.outputs = outputs
        self.listener = Failures()

    def run(self, *overrides, work=untrained):
        """A sweep in this process, its cells one after the other. Returns its exit code."""
        with hydra_at():
            planned = plan([f"outputs_dir={self.outputs}", *TINY, *overrides])
        return run_sweep(planned, lambda jobs: self.work_on(jobs, work))

    def dry_run(self, *overrides):
        with hydra_at():
            planned = plan([f"outputs_dir={self.outputs}", *TINY, *overrides, "dry_run=true"])
        dry_run(planned, num_slots=1)

    def work_on(self, jobs, work):
        for *_, sweep_dir, cell_id in jobs:
            folder = Path(ast.literal_eval(sweep_dir.split("=", 1)[1]), ast.literal_eval(cell_id.split("=", 1)[1]))
            work(Cell.load(folder), folder, self.listener)

    def start(self, *overrides, cold=False):
        """The same as a user starts it."""
        return warm.start("-m", f"outputs_dir={self.outputs}", *TINY, *overrides, cold=cold)

    def wait_for(self, pattern):
        """Until a file of this pattern is there."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := sorted(self.outputs.glob(pattern))):
            assert time.monotonic() < deadline, f"no {pattern}"
            time.sleep(0.01)
        return found

    def files(self):
        """All that is there but the marks of an open database."""
        return sorted(path for path in self.outputs.rglob("*") if ".db-" not in path.name)

    @property
    def ids(self):
        return sorted(path.parent.name for path in self.outputs.glob("sweeps/*/plan.json"))

    def runs(self, kind="cell"):
        client = MlflowClient(f"sqlite:///{self.outputs}/mlflow.db")
        return client.search_runs(["1"], f"tags.kind = '{kind}'", max_results=1000)

    def steps(self, run, key="val/loss"):
        client = MlflowClient(f"sqlite:///{self.outputs}/mlflow.db")
        return [metric.step for metric in client.get_metric_history(run.info.run_id, key)]

    def plan(self, sweep):
        return json.loads((self.outputs / "sweeps" / sweep / "plan.json").read_text())


@pytest.fixture
def sweeps(tmp_path):
    return Sweeps(with_store(tmp_path / "outputs"))


@pytest.mark.parametrize(
    ("launcher", "number"),
    [  # each launcher, and each signal; what hears a signal and what starts cells do not know of one another
        ("pool", signal.SIGINT),
        ("basic", signal.SIGTERM),
        pytest.param("pool", signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("basic", signal.SIGINT, marks=pytest.mark.soak),
    ],
)
def test_one_signal_lets_the_epoch_end_and_the_same_command_finishes_the_rest(sweeps, launcher, number):
    overrides = (f"hydra/launcher={launcher}", "seed=0,1,2", "epochs=40")
    with sweeps.start(*overrides) as process:
        sweeps.wait_for("sweeps/*/*/last.pt")
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE_S)
    (sweep,) = sweeps.ids
    assert process.returncode == 128 + number, err
    assert f"3 not finished: the same command with resume={sweep} goes on with them" in out
    stopped = sweeps.runs()
    assert {run.info.status for run in stopped} == {"KILLED"}
    assert all("after epoch" in run.data.tags["reason"] for run in stopped)
    assert [run.info.status for run in sweeps.runs("sweep")] == ["KILLED"]

    with sweeps.start(*overrides, "resume=last") as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    assert f"3 cells: {len(stopped)} to continue" in out
    runs = sweeps.runs()
    assert {run.info.run_id for run in stopped} <= {run.info.run_id for run in runs}
    assert sorted(run.info.run_name for run in runs) == ["seed=0", "seed=1", "seed=2"]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert "reason" not in run.data.tags
        assert sweeps.steps(run) == list(range(1, 41))
        assert len(sweeps.steps(run, "test/loss")) == 1
    assert [run.info.status for run in sweeps.runs("sweep")] == ["FINISHED"]
    assert not list(sweeps.outputs.glob("sweeps/*/*/last.pt"))


@pytest.mark.parametrize("launcher", ["basic", "pool"])
def test_two_signals_stop_at_once_and_nothing_stays_running(sweeps, launcher):
    with sweeps.start(f"hydra/launcher={launcher}", "seed=0,1,2", "epochs=100000") as process:
        sweeps.wait_for("sweeps/*/*/last.pt")
        process.send_signal(signal.SIGINT)
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert {run.info.status for run in sweeps.runs()} == {"KILLED"}
    assert {run.info.status for run in sweeps.runs("sweep")} == {"KILLED"}


def test_a_sweep_that_is_over_has_nothing_to_run_and_may_get_more_arms(sweeps, capsys):
    assert sweeps.run("seed=0,1", "epochs=1") == 0
    before = {run.info.run_id: run.info.end_time for run in sweeps.runs()}
    assert sweeps.run("seed=0,1", "epochs=1", "resume=last") == 0
    assert "2 cells: 2 finished" in capsys.readouterr().out
    assert {run.info.run_id: run.info.end_time for run in sweeps.runs()} == before
    (sweep,) = sweeps.ids
    assert sweeps.run("seed=0,1", "activation=relu,tanh", "epochs=1", f"resume={sweep}") == 0
    assert "4 cells: 2 finished, 2 to run" in capsys.readouterr().out
    assert len(sweeps.runs()) == 4
    (parent,) = sweeps.runs("sweep")
    assert {run.data.tags["mlflow.parentRunId"] for run in sweeps.runs()} == {parent.info.run_id}
    assert sweeps.plan(sweep)["factors"] == {"seed": ["0", "1"], "activation": ["relu", "tanh"]}


def test_cells_that_are_not_asked_for_again_stay_in_the_plan(sweeps, capsys):
    sweeps.run("seed=0,1", "epochs=1")
    sweeps.run("seed=1,2", "epochs=1", "resume=last")
    assert "2 cells: 1 finished, 1 to run" in capsys.readouterr().out
    assert [cell["name"] for cell in sweeps.plan(sweeps.ids[0])["cells"]] == ["seed=1", "seed=2", "seed=0"]


def test_reuse_takes_what_other_sweeps_have_finished(sweeps, capsys):
    sweeps.run("seed=0,1", "epochs=1")
    assert sweeps.run("seed=1,2", "epochs=1", "reuse=true") == 0
    assert "2 cells: 1 finished, 1 to run (1 of them in other sweeps)" in capsys.readouterr().out
    assert len(sweeps.runs()) == 3
    assert len(sweeps.ids) == 2


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(sweeps, capsys):
    new = Sweeps(sweeps.outputs / "new")
    new.dry_run("seed=0,1", "epochs=1")
    assert "2 cells: 2 to run" in (shown := capsys.readouterr().out)
    assert "unknown: no past epochs to go by" in shown
    assert not new.outputs.exists()
    sweeps.run("seed=0,1", "epochs=1", work=run_attempt)
    before = sweeps.files()
    capsys.readouterr()
    sweeps.dry_run("seed=0,1,2", "epochs=1", "resume=last")
    assert "3 cells: 2 finished, 1 to run" in capsys.readouterr().out
    sweeps.dry_run("seed=0,1,2", "epochs=1", "reuse=true")
    assert "3 cells: 2 finished in another sweep, 1 to run" in (shown := capsys.readouterr().out)
    assert "one cell after the other; from 2 past cells" in shown
    assert sweeps.files() == before


def test_what_a_launcher_that_gives_up_has_run_is_kept_and_reported(sweeps, capsys):
    def launch(jobs):
        sweeps.work_on(jobs[:1], untrained)
        raise RuntimeError("a worker died")

    with hydra_at():
        planned = plan([f"outputs_dir={sweeps.outputs}", *TINY, "seed=0,1", "epochs=1"])
    assert run_sweep(planned, launch) == 1
    shown = capsys.readouterr()
    assert "RuntimeError: a worker died" in shown.err
    assert "1 not finished: the same command with resume=" in shown.out
    assert [run.info.status for run in sweeps.runs("sweep")] == ["FAILED"]
    sweeps.wait_for("sweeps/*/report.html")
    assert sweeps.run("seed=0,1", "epochs=1", "resume=last") == 0
    assert "2 cells: 1 finished, 1 to run" in capsys.readouterr().out


def test_a_failed_cell_is_retried_as_often_as_asked_and_again_when_resumed(sweeps, capsys):
    def work(cell, folder, listener):
        (run_attempt if cell.config.optimizer.arguments()["lr"] > 1 else untrained)(cell, folder, listener)

    settings = ("optimizer.lr=0.1,1e30", "epochs=2")
    assert sweeps.run(*settings, "retries=2", work=work) == 1
    assert [text[:41] for text in sweeps.listener.failures] == ["NonFiniteLossError: the training loss bec"] * 3
    runs = {run.info.run_name: run for run in sweeps.runs()}
    assert {name: run.info.status for name, run in runs.items()} == {
        "optimizer.lr=0.1": "FINISHED",
        "optimizer.lr=1e+30": "FAILED",
    }
    assert "1 failed: the same command with resume=" in capsys.readouterr().out
    assert [run.info.status for run in sweeps.runs("sweep")] == ["FAILED"]
    assert sweeps.run(*settings, "resume=last", work=work) == 1
    assert "2 cells: 1 finished, 1 to retry" in capsys.readouterr().out
    assert len(sweeps.runs()) == 2


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.soak)])
def test_on_failure_stop_starts_no_further_cell(sweeps, launcher):
    """Launchers that know nothing of it start a job for each, which looks whether one has failed. The pool knows."""
    settings = ("optimizer.lr=1e30,0.1", "seed=range(8)", "epochs=1", "on_failure=stop")
    with sweeps.start(f"hydra/launcher={launcher}", *settings) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, err
    assert len(sweeps.runs()) < 16
    assert "not finished" in out


@pytest.mark.soak
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_hydras_own_launchers_run_the_same_sweep_and_resume_it(sweeps, launcher):
    """In `tests`: basic resumes above, and joblib runs one in `test_determinism.py`; what resumes is the sweeper.

    Cold, because joblib tidies up at exit, in an order that depends on when it was imported.
    """
    for seeds, resume in (("0,1", ()), ("0,1,2", ("resume=last",))):
        with sweeps.start(f"hydra/launcher={launcher}", f"seed={seeds}", "epochs=2", *resume, cold=True) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, err) == (0, "")
    assert "3 cells: 2 finished, 1 to run" in out
    assert [sweeps.steps(run) for run in sweeps.runs()] == [[1, 2]] * 3


def test_a_resume_of_nothing_is_refused_and_leaves_nothing(tmp_path):
    sweeps = Sweeps(tmp_path / "outputs")
    with pytest.raises(
        ConfigError, match=f"resume = 'last': there is no such sweep in {sweeps.outputs}/sweeps; there are none"
    ):
        sweeps.run("resume=last", "seed=0,1")
    assert not sweeps.outputs.exists()


def test_a_resume_with_none_of_the_cells_names_the_command_that_it_should_be(sweeps):
    sweeps.run("seed=0,1", "epochs=1")
    with pytest.raises(
        ConfigError, match=r"that sweep has none of these cells; its command was\n *python -m src.train"
    ):
        sweeps.run("seed=5,6", "epochs=1", "resume=last")


def test_a_sweep_that_is_running_cannot_be_resumed(sweeps):
    with sweeps.start("hydra/launcher=basic", "seed=0,1", "epochs=100000") as process:
        sweeps.wait_for("sweeps/*/*/last.pt")
        try:
            with pytest.raises(ConfigError, match=f"resume = '{sweeps.ids[0]}': another process is running this sweep"):
                sweeps.run("seed=0,1", "epochs=100000", "resume=last")
        finally:
            process.kill()


def change_code(plan):
    plan["sources"]["image_sweeps/fit/loop.py"] = "another"
    return "the code: image_sweeps/fit/loop.py"


def change_version(plan):
    plan["versions"]["torch"] = "1.0"
    return "and was 1.0"


def change_data(plan):
    plan["data"] = dict.fromkeys(plan["data"], "0123")
    return "and was 0123"


@pytest.mark.parametrize("change", [change_code, change_version, change_data])
def test_a_resume_says_what_has_changed_and_asks(sweeps, change, capsys):
    sweeps.run("seed=0,1", "epochs=1")
    path = sweeps.outputs / "sweeps" / sweeps.ids[0] / "plan.json"
    plan = json.loads(path.read_text())
    said = change(plan)
    path.write_text(json.dumps(plan))
    with pytest.raises(ConfigError, match="resume_anyway=true goes on all the same") as refused:
        sweeps.run("seed=0,1,2", "epochs=1", "resume=last")
    assert said in str(refused.value)
    assert json.loads(path.read_text()) == plan
    assert sweeps.run("seed=0,1,2", "epochs=1", "resume=last", "resume_anyway=true") == 0
    assert "3 cells: 2 finished, 1 to run" in capsys.readouterr().out
