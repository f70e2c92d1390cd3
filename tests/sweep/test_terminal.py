import io

import pytest
from rich.console import Console

from image_sweeps.sweep.estimate import TimeEstimate
from image_sweeps.sweep.plan import plan
from image_sweeps.sweep.terminal import show_dry_run
from image_sweeps.system.console import planning

UNKNOWN = TimeEstimate(seconds=None, num_slots=1, num_past=0, num_unlike=1, may_stop=False)


@pytest.fixture
def shown(monkeypatch):
    """What is shown, on a terminal or in a log, as text."""

    def shown(is_terminal=False):
        page = io.StringIO()
        console = Console(file=page, force_terminal=is_terminal, width=160)
        for module in ("image_sweeps.system.console", "image_sweeps.sweep.terminal"):
            monkeypatch.setattr(f"{module}.CONSOLE", console)
        return page

    return shown


def test_a_dry_run_lists_the_cells_and_what_becomes_of_them(shown, hydra_conf):
    page = shown()
    planned = plan(["model=cnn,cnn_batch", "norm=none,batch", "model.channels=[8,8],[8,16]"])
    finished = planned.cells[0].id
    states = {cell.id: "skip: finished" if cell.id == finished else "run" for cell in planned.cells}
    show_dry_run(planned, states, UNKNOWN)
    lines = [" ".join(line.split()) for line in page.getvalue().splitlines()]
    assert lines[0] == "dry run 4 cells: 1 skip: finished, 3 run"
    assert lines[1:5] == [
        "model = cnn, cnn_batch",
        "norm = none, batch",
        "model.channels = [8,8], [8,16]",
        "4 more are the same as one of these",
    ]
    for cell in planned.cells:
        assert f"{cell.name} {cell.id} {states[cell.id]}" in lines
    assert lines[-1] == "estimated time: unknown: no past epochs to go by"


def test_of_a_long_grid_a_dry_run_shows_the_beginning(shown, hydra_conf):
    page = shown()
    planned = plan(["seed=range(1000)"])
    show_dry_run(planned, {cell.id: "run" for cell in planned.cells}, UNKNOWN)
    text = page.getvalue()
    assert "1,000 cells: 1,000 run" in text
    assert "17, 18, 19, and 980 more" in text
    assert [cell.id in text for cell in planned.cells] == [True] * 20 + [False] * 980
    assert "... and 980 more" in text


def test_planning_that_takes_its_time_shows_how_far_it_is(shown, monkeypatch):
    monkeypatch.setattr("image_sweeps.system.console.PATIENCE_S", 0.0)
    page = shown(is_terminal=True)
    with planning(3) as arm_over:
        arm_over()
        arm_over()
    assert "planning" in page.getvalue()
    assert "2/3" in page.getvalue()


@pytest.mark.parametrize(("is_terminal", "patience_s"), [(True, 3600.0), (False, 0.0)])
def test_planning_is_quiet_where_it_is_fast_or_nobody_looks(shown, monkeypatch, is_terminal, patience_s):
    monkeypatch.setattr("image_sweeps.system.console.PATIENCE_S", patience_s)
    page = shown(is_terminal)
    with planning(1) as arm_over:
        arm_over()
    assert page.getvalue() == ""
