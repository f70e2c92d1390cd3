"""Integer searches, as typed: real cells in real processes."""

import json
import signal

import pytest
from mlflow import MlflowClient

from image_sweeps.cell.result import Result
from image_sweeps.cell.search_record import SearchRecord
from tests.support import warm
from tests.support.empty_store import with_store
from tests.support.waiting import until

pytest.importorskip("optuna")

SEARCH = (
    *("-m", "hydra/sweeper=optuna", "dataset.image_size=8", "model=mlp", "model.hidden=[8]", "epochs=6"),
    "optimizer.lr=tag(log,interval(1e-4,1))",
)
EAGER = "hydra.sweeper.pruner.n_startup_trials=2"
ONE_SLOT = ("hydra.launcher.slots=1",)


def folder_in(outputs):
    (folder,) = (outputs / "sweeps").iterdir()
    return folder


def told(record):
    """What a search has found, but for the time that it took."""
    return [(t.cell, t.point, t.values, t.num_epochs, t.state, t.reason) for t in record.trials]


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A search of six trials with a confirmation, and what was printed."""
    outputs = with_store(tmp_path_factory.mktemp("search"))
    ran = warm.run(
        *SEARCH, *ONE_SLOT, EAGER, "hydra.sweeper.n_trials=6", "hydra.sweeper.confirm_seeds=2", f"outputs_dir={outputs}"
    )
    assert ran.returncode == 0, ran.stderr
    return outputs, ran.stdout


def test_a_search_prunes_and_says_what_that_saved(search):
    outputs, printed = search
    record = SearchRecord.load(folder_in(outputs))
    pruned = [trial for trial in record.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert f"pruned after epoch {trial.num_epochs} of 6" in printed
        assert (folder_in(outputs) / trial.cell / "last.pt").exists() is False
    saved = sum(6 - trial.num_epochs for trial in pruned)
    assert f"pruning saved {saved} of 36 epochs" in " ".join(printed.split())


def test_a_pruned_run_says_so_and_when(search):
    outputs, _ = search
    record = SearchRecord.load(folder_in(outputs))
    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    runs = {run.data.tags["cell"]: run for run in client.search_runs(["1"], "tags.kind = 'cell'")}
    for trial in record.trials:
        run = runs[trial.cell]
        history = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert len(history) == trial.num_epochs
        if trial.state == "pruned":
            assert run.info.status == "KILLED"
            assert run.data.tags["pruned"] == str(trial.num_epochs)
            assert run.data.tags["reason"] == f"pruned after epoch {trial.num_epochs} of 6"
            assert "test/accuracy" not in run.data.metrics
        else:
            assert (run.info.status, "pruned" in run.data.tags) == ("FINISHED", False)


def test_the_report_compares_the_best_with_the_default_by_fresh_seeds(search):
    outputs, _ = search
    report = json.loads((folder_in(outputs) / "report.json").read_text())
    best = report["search"]["best"][0]
    assert report["question"]["factors"] == {"configuration": ["default", f"trial {best}"]}
    assert report["question"]["replicates"] == {"seed": ["1", "2"]}
    assert report["question"]["follows"] == {"optimizer.lr": "configuration"}
    (effect,) = report["effects"]
    assert (effect["value"], effect["against"]) == (f"trial {best}", "default")
    assert report["counts"]["pruned"] == sum(trial["state"] == "pruned" for trial in report["search"]["trials"])
    assert len(report["cells"]) == 6 + 4
    page = (folder_in(outputs) / "report.html").read_text()
    assert '<h2 id="search">The search</h2>' in page
    assert "validation accuracy of the trials" in page


def test_a_fixed_seed_repeats_a_search_of_real_cells_exactly_even_if_it_is_killed(search, tmp_path):
    outputs, _ = search
    arguments = (*SEARCH, *ONE_SLOT, EAGER, "hydra.sweeper.n_trials=6", "hydra.sweeper.confirm_seeds=0")
    arguments = (*arguments, f"outputs_dir={with_store(tmp_path)}")
    with warm.start(*arguments) as process:
        until(lambda: len(list(tmp_path.glob("sweeps/*/*/result.json"))) >= 3)
        process.kill()
    ran = warm.run(*arguments, "resume=last")
    assert ran.returncode == 0, ran.stderr
    assert "6 trials: " not in ran.stdout  # it had not come so far
    assert told(SearchRecord.load(folder_in(tmp_path))) == told(SearchRecord.load(folder_in(outputs)))


def test_one_ctrl_c_keeps_the_epoch_and_the_search_goes_on_later(tmp_path):
    arguments = (*SEARCH, "epochs=400", "hydra.sweeper.n_trials=3", "hydra.sweeper.confirm_seeds=0")
    arguments = (*arguments, "hydra/sweeper/pruner=none", "hydra.launcher.slots=2")
    arguments = (*arguments, f"outputs_dir={with_store(tmp_path)}")
    with warm.start(*arguments) as process:
        until(lambda: len(list(tmp_path.glob("sweeps/*/*/last.pt"))) >= 2)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    record = SearchRecord.load(folder_in(tmp_path))
    assert [trial.state for trial in record.trials] == ["running"] * 2
    ran = warm.run(*arguments, "resume=last", "dry_run=true")
    assert "dry run: 0 of 3 trials are over" in ran.stdout


def test_a_trial_that_diverges_is_pruned_with_the_reason(tmp_path):
    ran = warm.run(
        *("-m", "hydra/sweeper=optuna", "dataset.image_size=8", "model=mlp", "epochs=2"),
        *("optimizer.lr=1e15,0.1", "hydra/sweeper/sampler=grid", "hydra.sweeper.confirm_seeds=0"),
        f"outputs_dir={with_store(tmp_path)}",
    )
    assert ran.returncode == 0, ran.stderr
    first, second = SearchRecord.load(folder_in(tmp_path)).trials
    assert (first.state, second.state) == ("pruned", "finished")
    assert first.reason.startswith("pruned: the training loss became")
    assert Result.load(folder_in(tmp_path) / first.cell).status == "pruned"


def test_a_launcher_that_is_not_ours_gets_one_trial_after_the_other(tmp_path):
    ran = warm.run(
        *SEARCH, "hydra/launcher=basic", "hydra.sweeper.n_trials=3", "hydra.sweeper.confirm_seeds=0", "epochs=2",
        f"outputs_dir={with_store(tmp_path)}",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    record = SearchRecord.load(folder_in(tmp_path))
    assert [trial.state for trial in record.trials] == ["finished"] * 3


def test_another_search_is_not_gone_on_with(search):
    outputs, _ = search
    arguments = [*SEARCH, f"outputs_dir={outputs}", "resume=last"]
    arguments[arguments.index("optimizer.lr=tag(log,interval(1e-4,1))")] = "optimizer.lr=tag(log,interval(1e-3,1))"
    ran = warm.run(*arguments)
    assert ran.returncode == 2
    assert "that search has another space: optimizer.lr: 0.0001 to 1, logarithmic" in ran.stderr
    other = warm.run(*SEARCH, f"outputs_dir={outputs}", "resume=last", "batch_size=50")
    assert other.returncode == 2
    assert "that sweep has none of these cells; its command was" in other.stderr


def test_all_that_is_wrong_with_a_search_is_told_before_it_begins(tmp_path):
    ran = warm.run(*SEARCH, EAGER, "hydra/sweeper/pruner=none", "epochs=0", f"outputs_dir={tmp_path / 'outputs'}")
    assert ran.returncode == 2
    assert "has 2 problems; nothing was run" in ran.stderr
    assert "hydra.sweeper.pruner.n_startup_trials" in ran.stderr
    assert "epochs = 0: must be greater than 0" in ran.stderr
    assert not (tmp_path / "outputs").exists()


def test_without_optuna_a_search_ends_with_what_brings_it(tmp_path):
    arguments = (*SEARCH, "hydra/launcher=basic", f"outputs_dir={tmp_path / 'outputs'}")
    ran = warm.run(*arguments, module="tests.support.without_optuna")
    assert ran.returncode == 2
    assert "hydra/sweeper = 'optuna': Optuna is not installed; pip install -e '.[optuna]' brings it" in ran.stderr
    assert not (tmp_path / "outputs").exists()


def test_nothing_but_a_search_imports_optuna(tmp_path):
    cell = ("model=mlp", "model.hidden=[8]", "dataset.image_size=8", "epochs=1", "hydra/launcher=basic")
    arguments = ("-m", *cell, f"outputs_dir={with_store(tmp_path / 'outputs')}")
    ran = warm.run(*arguments, module="tests.support.without_optuna")
    assert ran.returncode == 0, ran.stderr
