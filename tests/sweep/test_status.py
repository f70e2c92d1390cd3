import pytest

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus, format_counts
from image_sweeps.fit.checkpoint import LAST


@pytest.mark.parametrize(
    ("status", "has_checkpoint", "standing"),
    [
        ("finished", False, CellStatus.FINISHED),
        ("failed", False, CellStatus.FAILED),
        ("failed", True, CellStatus.FAILED),
        ("interrupted", True, CellStatus.INTERRUPTED),
        ("interrupted", False, CellStatus.NEW),
        (None, True, CellStatus.INTERRUPTED),
        (None, False, CellStatus.NEW),
    ],
)
def test_a_cell_stands_where_its_folder_says(tmp_path, status, has_checkpoint, standing):
    if status:
        Result("id", "name", status).save(tmp_path)
    if has_checkpoint:
        (tmp_path / LAST).touch()
    assert CellStatus.load(tmp_path) is standing


def test_standings_are_counted_in_words():
    statuses = [*[CellStatus.FINISHED] * 17, *[CellStatus.INTERRUPTED] * 2, CellStatus.FAILED, *[CellStatus.NEW] * 4]
    assert format_counts(statuses) == "24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run"
    assert format_counts([CellStatus.NEW]) == "1 cell: 1 to run"
