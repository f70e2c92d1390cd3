"""A search on a real SLURM: its trials are asked for as nodes fall free, and tell the study from there."""

import pytest

from src.search.record import SearchRecord
from src.search.study import Memory
from src.sweep.result import Result
from tests.engines.conftest import Sweep
from tests.sweep.faults import until

pytest.importorskip("optuna")

SEARCH = (
    *("hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-3,1))", "hydra.launcher.array_parallelism=2"),
    *("hydra.sweeper.n_trials=4", "hydra.sweeper.confirm_seeds=0", "epochs=3"),
)


@pytest.fixture
def searching(slurm, tmp_path):
    sweep = Sweep(tmp_path, slurm.environment)
    yield sweep
    sweep.close()


def record_in(outputs):
    (folder,) = outputs.glob("sweeps/*")
    return folder, SearchRecord.of(folder)


def test_trials_are_asked_for_one_by_one_and_tell_from_their_nodes(searching, tmp_path):
    code, out, err = searching.run(*SEARCH)
    assert code == 0, err
    _, record = record_in(tmp_path)
    assert len(record.trials) == 4
    assert {trial.state for trial in record.trials} <= {"finished", "pruned"}
    assert "[4/4]" in out


def test_a_trial_tells_the_study_where_the_process_that_asked_is_dead(searching, tmp_path):
    process = searching.start(*SEARCH, "epochs=200", "hydra/sweeper/pruner=none")
    until(lambda: len(list(tmp_path.glob("sweeps/*/*/last.pt"))) == 2)
    process.kill()
    process.communicate()
    folder, _ = record_in(tmp_path)
    cells = [path.parent for path in folder.glob("*/trial.json")]
    until(lambda: all(Result.of(cell) is not None for cell in cells))
    until(lambda: all(t.state.name == "COMPLETE" for t in Memory(folder, None, ["maximize"]).study.trials))
    code, _, err = searching.run(
        *SEARCH, "epochs=200", "hydra/sweeper/pruner=none", "resume=last", "resume_anyway=true"
    )
    assert code == 0, err
    _, record = record_in(tmp_path)
    assert [trial.state for trial in record.trials] == ["finished"] * 4
    assert [trial.num_epochs for trial in record.trials] == [200] * 4
