import math

import pytest

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.system.files import DiskError
from tests.support.file_limits import largest_file


def test_a_result_comes_back_from_its_folder(tmp_path):
    result = Result(
        "id", "seed=1", CellStatus.FINISHED, run_id="r", best_epoch=3, val_accuracy=0.5, val_loss=1.0, num_parameters=7
    )
    result.save(tmp_path)
    back = Result.load(tmp_path)
    assert back.finished
    assert (back.run_id, back.best_epoch, back.val_accuracy, back.num_parameters) == ("r", 3, 0.5, 7)
    assert math.isnan(back.test_accuracy)


def test_a_cell_that_left_nothing_has_no_result(tmp_path):
    assert Result.load(tmp_path) is None


@pytest.mark.parametrize("status", [CellStatus.FAILED, CellStatus.INTERRUPTED])
def test_that_a_cell_did_not_finish_may_be_lost_to_a_full_disk(tmp_path, status):
    with largest_file(10):
        Result("id", "seed=1", status, "a reason").save(tmp_path)
    assert Result.load(tmp_path) is None


def test_that_a_cell_finished_may_not(tmp_path):
    with pytest.raises(DiskError, match=r"result\.json: could not be written"), largest_file(10):
        Result("id", "seed=1", CellStatus.FINISHED).save(tmp_path)
