"""What a trial's own process does, and what it does when the search is away."""

import json

import pytest

from image_sweeps.cell.folders import SweepFile
from image_sweeps.cell.result import Pruned, Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.fit.epoch import Epoch
from image_sweeps.search.study import TrialStore
from image_sweeps.search.trial import TrialPruner, trial_pruner
from tests.support.searches import LR, Died, Process, learn, near_a_tenth

optuna = pytest.importorskip("optuna")


def epochs(*accuracies):
    return [Epoch(n, 1.0, a, 0.0, 1 - a, a, 0.1, 0.5, n) for n, a in enumerate(accuracies, start=1)]


@pytest.fixture
def begun(tmp_path):
    """The folder of the fifth trial of a search, whose process has died before it began."""

    def fifth(*overrides):
        process = Process(tmp_path / "search", LR, "hydra.sweeper.confirm_seeds=0", *overrides)

        def work(folder):
            if json.loads((folder / "trial.json").read_text())["number"] == 4:
                raise Died
            learn(folder, near_a_tenth)

        _, launcher = process.run(work=work)
        return process.folder / launcher.handed[-1]

    return fifth


def memory(folder):
    return TrialStore(folder.parent, None, ["maximize"]).study.trials


def test_a_cell_that_is_no_trial_is_judged_by_nobody(tmp_path):
    pruner = trial_pruner(tmp_path, print)
    assert type(pruner) is TrialPruner
    pruner.report(epochs(0.1))
    pruner.diverged(None, ValueError())
    pruner.tell(Result("cell", "name", CellStatus.FINISHED))
    assert not pruner.should_prune()
    assert list(tmp_path.iterdir()) == []


def test_epochs_are_reported_once_however_often_they_are_told(begun):
    folder = begun()
    trial_pruner(folder, print).report(epochs(0.1, 0.2))
    trial_pruner(folder, print).report(epochs(0.1, 0.2, 0.3))  # another attempt goes on
    assert memory(folder)[4].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_a_trial_below_the_others_is_hopeless_and_one_above_is_not(begun):
    folder = begun("hydra.sweeper.pruner.n_startup_trials=3", "hydra.sweeper.pruner.n_warmup_epochs=1")
    pruner = trial_pruner(folder, print)
    pruner.report(epochs(0.0))
    assert not pruner.should_prune()  # warms up
    pruner.report(epochs(0.0, 0.0))
    assert pruner.should_prune()
    pruner.report(epochs(0.0, 0.0, 1.0))
    assert not pruner.should_prune()


def test_the_loss_is_judged_where_that_is_the_objective(begun):
    folder = begun("hydra.sweeper.objectives=[val/loss]", "hydra.sweeper.pruner.n_startup_trials=3")
    pruner = trial_pruner(folder, print)
    pruner.report(epochs(0.0, 0.0))
    assert memory_of_loss(folder)[4].intermediate_values == {1: 1.0, 2: 1.0}
    assert pruner.should_prune()


def memory_of_loss(folder):
    return TrialStore(folder.parent, None, ["minimize"]).study.trials


@pytest.mark.parametrize(
    ("result", "state", "values"),
    [
        (Result("cell", "name", CellStatus.FINISHED, val_accuracy=0.7, num_epochs=8), "COMPLETE", [0.7]),
        (Result("cell", "name", CellStatus.PRUNED, val_accuracy=0.7, num_epochs=2), "PRUNED", None),
        (Result("cell", "name", CellStatus.INTERRUPTED), "RUNNING", None),
        (Result("cell", "name", CellStatus.FAILED), "RUNNING", None),  # who asked for it may have it tried again
    ],
)
def test_a_trial_tells_how_it_ended_itself(begun, result, state, values):
    folder = begun()
    trial_pruner(folder, print).tell(result)
    trial_pruner(folder, print).tell(result)  # nor does it matter that it is told twice
    trial = memory(folder)[4]
    assert (trial.state.name, trial.values) == (state, values)
    if result.over:
        assert trial.user_attrs["epochs"] == result.num_epochs


def test_divergence_prunes_a_trial_with_the_reason(begun):
    folder = begun()

    class TrainingHistory:
        epochs = ()

        class watch:  # noqa: N801
            best = None

    with pytest.raises(Pruned, match=r"pruned: the loss is nan"):
        trial_pruner(folder, print).diverged(TrainingHistory, ArithmeticError("the loss is nan"))


@pytest.mark.parametrize("away", ["gone", "damaged"])
def test_a_search_that_is_away_costs_no_trial_and_is_told_of(begun, away):
    folder, notes = begun(), []
    journal = folder.parent / SweepFile.STUDY
    if away == "gone":
        journal.unlink()
    else:
        journal.write_text("no journal\nof anything\n")
    pruner = trial_pruner(folder, notes.append)
    pruner.report(epochs(0.0, 0.0))
    assert not pruner.should_prune()
    pruner.tell(Result("cell", "name", CellStatus.FINISHED, val_accuracy=0.5))
    assert all(note.startswith("the search cannot be reached, and its trials go on unjudged: ") for note in notes)
    assert notes


def test_a_search_in_a_database_goes_on_there(tmp_path):
    where = f"hydra.sweeper.storage=sqlite:///{tmp_path / 'search.db'}"
    process = Process(tmp_path / "search", LR, "hydra.sweeper.confirm_seeds=0", where)
    process.run("hydra.sweeper.n_trials=3")
    record, launcher = process.run("hydra.sweeper.n_trials=5")
    assert [trial.state for trial in record.trials] == ["finished"] * 5
    assert len(launcher.handed) == 2
    assert not (process.folder / SweepFile.STUDY).exists()
