import pytest

from src.fit.checkpoint import LAST
from src.sweep.result import Result
from src.sweep.standing import Standing, in_words


@pytest.mark.parametrize(
    ("status", "has_checkpoint", "standing"),
    [
        ("finished", False, Standing.FINISHED),
        ("failed", False, Standing.FAILED),
        ("failed", True, Standing.FAILED),
        ("interrupted", True, Standing.INTERRUPTED),
        ("interrupted", False, Standing.NEW),
        (None, True, Standing.INTERRUPTED),
        (None, False, Standing.NEW),
    ],
)
def test_a_cell_stands_where_its_folder_says(tmp_path, status, has_checkpoint, standing):
    if status:
        Result("id", "name", status).save(tmp_path)
    if has_checkpoint:
        (tmp_path / LAST).touch()
    assert Standing.of(tmp_path) is standing


def test_standings_are_counted_in_words():
    standings = [*[Standing.FINISHED] * 17, *[Standing.INTERRUPTED] * 2, Standing.FAILED, *[Standing.NEW] * 4]
    assert in_words(standings) == "24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run"
    assert in_words([Standing.NEW]) == "1 cell: 1 to run"
