"""What is read of past cells, from a store in which real ones are recorded."""

import pytest

from image_sweeps.cell.claim import Claim
from image_sweeps.config.composition import hydra_at
from image_sweeps.launch.attempt import run_attempt
from image_sweeps.sweep.estimate import estimate_time, params_of
from image_sweeps.sweep.past import past_cells
from image_sweeps.sweep.plan import plan
from image_sweeps.tracking.cell_run import open_run
from image_sweeps.tracking.store import open_store
from tests.support.configurations import config_of
from tests.support.listeners import Unfailing

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]", "epochs=2")


def cell_of(outputs, *overrides):
    with hydra_at():
        (cell,) = plan([*TINY, f"outputs_dir={outputs}", *overrides]).cells
    return cell


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished cell, the id of its run, and beside it in the store one that failed."""
    outputs = tmp_path_factory.mktemp("outputs")
    cell = cell_of(outputs)
    result = run_attempt(cell, outputs / "cell", Unfailing())
    with pytest.raises(ZeroDivisionError), open_run(cell, Claim.acquire(outputs / "failed"), print):
        raise ZeroDivisionError
    return cell, result.run_id


def test_a_finished_cell_is_remembered_with_what_its_cost_depends_on(trained):
    cell, run_id = trained
    (past,) = past_cells(cell.config, {cell.fingerprint, "another"})
    assert params_of(cell).items() <= past.params.items()
    client = open_store(cell.config).client
    epochs = client.get_metric_history(run_id, "time/epoch_s")
    assert past.epoch_s == epochs[-1].value > 0
    assert past.after_s == (client.get_run(run_id).info.end_time - epochs[-1].timestamp) / 1000 > 0


def test_an_estimate_rests_on_what_was_recorded(trained):
    cell, _ = trained
    (past,) = past_cells(cell.config, {cell.fingerprint})
    told = estimate_time([cell_of(cell.config.outputs_dir, "seed=1", "epochs=7")], [past], num_slots=1)
    assert told.seconds == pytest.approx(7 * past.epoch_s + past.after_s)


def test_cells_on_other_data_are_not_read(trained):
    assert past_cells(trained[0].config, {"another"}) == []


def test_where_there_is_no_store_none_is_created(tmp_path):
    assert past_cells(config_of(f"outputs_dir={tmp_path}/outputs"), {"any"}) == []
    assert list(tmp_path.iterdir()) == []
