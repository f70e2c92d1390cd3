import pytest

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Result, load_status
from image_sweeps.cell.status import CellStatus, format_counts


@pytest.mark.parametrize(
    ("left", "has_checkpoint", "status"),
    [
        (CellStatus.FINISHED, False, CellStatus.FINISHED),
        (CellStatus.FAILED, False, CellStatus.FAILED),
        (CellStatus.FAILED, True, CellStatus.FAILED),
        (CellStatus.INTERRUPTED, True, CellStatus.INTERRUPTED),
        (CellStatus.INTERRUPTED, False, CellStatus.NEW),
        (None, True, CellStatus.INTERRUPTED),
        (None, False, CellStatus.NEW),
    ],
)
def test_a_cell_stands_where_its_folder_says(tmp_path, left, has_checkpoint, status):
    if left:
        Result("id", "name", left).save(tmp_path)
    if has_checkpoint:
        (tmp_path / CellFile.LAST).touch()
    assert load_status(tmp_path) is status


def test_statuses_are_counted_in_words():
    statuses = [*[CellStatus.FINISHED] * 17, *[CellStatus.INTERRUPTED] * 2, CellStatus.FAILED, *[CellStatus.NEW] * 4]
    assert format_counts(statuses) == "24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run"
    assert format_counts([CellStatus.NEW]) == "1 cell: 1 to run"
