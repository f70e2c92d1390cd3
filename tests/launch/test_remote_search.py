"""A search on a real SLURM: its trials are asked for as nodes fall free, and tell the study from there."""

import pytest

from image_sweeps.cell.result import Result
from image_sweeps.cell.search_record import SearchRecord
from image_sweeps.search.study import TrialStore
from tests.support.waiting import until

pytest.importorskip("optuna")

GROUP = "slurm"

pytestmark = pytest.mark.timeout(240)  # a job starts in seconds, and where the cores are busy in many more

SEARCH = (
    *("hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-3,1))", "hydra.launcher.array_parallelism=2"),
    "hydra.sweeper.confirm_seeds=0",
)


def record_in(outputs):
    (folder,) = outputs.glob("sweeps/*")
    return folder, SearchRecord.load(folder)


@pytest.mark.soak
def test_trials_are_asked_for_one_by_one_and_tell_from_their_nodes(sweep, tmp_path):
    """Below they do so too, but are not pruned."""
    code, out, err = sweep.run(*SEARCH, "hydra.sweeper.n_trials=4", "epochs=3")
    assert code == 0, err
    _, record = record_in(tmp_path)
    assert len(record.trials) == 4
    assert {trial.state for trial in record.trials} <= {"finished", "pruned"}
    assert "[4/4]" in out


def test_a_trial_tells_the_study_where_the_process_that_asked_is_dead(sweep, tmp_path):
    search = (*SEARCH, "hydra.sweeper.n_trials=3", "hydra/sweeper/pruner=none", "epochs=60")
    process = sweep.start(*search)
    with sweep.held(2, process):
        process.kill()
        process.communicate()
    folder, _ = record_in(tmp_path)
    cells = [path.parent for path in folder.glob("*/trial.json")]
    until(lambda: all(Result.load(cell) is not None for cell in cells))
    until(lambda: all(t.state.name == "COMPLETE" for t in TrialStore(folder, None, ["maximize"]).study.trials))
    code, _, err = sweep.run(*search, "resume=last", "resume_anyway=true")
    assert code == 0, err
    assert [len(array) for array in sweep.arrays()] == [2, 1]
    _, record = record_in(tmp_path)
    assert [trial.state for trial in record.trials] == ["finished"] * 3
    assert [trial.num_epochs for trial in record.trials] == [60] * 3
