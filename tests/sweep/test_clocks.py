"""A sweep begun by a machine whose clock is ahead, and ended by one whose clock is behind."""

import json
import signal
from pathlib import Path

import pytest

from image_sweeps.cell.folders import CellFile
from tests.support import warm
from tests.support.empty_store import with_store
from tests.support.recorded import histories
from tests.support.waiting import until

LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
SWEEP = ("-m", "model=mlp", "model.hidden=[8]", "dataset.image_size=8", "epochs=40")


def with_clock(minutes, *arguments):
    """The command line on a machine whose clock differs by so much."""
    return warm.start(*arguments, LD_PRELOAD=str(LIBRARIES[0]), FAKETIME=f"{minutes:+d}m")


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
@pytest.mark.parametrize(
    ("launcher", "cells", "num_cells"),
    [
        ("hydra/launcher=basic", "seed=1", 1),
        # what is compared, if anything, is compared by who goes on with a folder, and not by who starts the processes
        pytest.param("hydra.launcher.slots=2", "seed=1,2", 2, marks=pytest.mark.soak),
    ],
)
def test_clocks_that_differ_by_minutes_do_no_harm(tmp_path, launcher, cells, num_cells):
    sweep = (*SWEEP, launcher, cells)
    outputs, calm = with_store(tmp_path / "outputs"), with_store(tmp_path / "calm")
    with with_clock(+10, *sweep, f"outputs_dir={outputs}") as ahead:
        until(lambda: len(list(outputs.glob(f"sweeps/*/*/{CellFile.LAST}"))) == num_cells)
        ahead.terminate()
        _, err = ahead.communicate()
    assert ahead.returncode == 128 + signal.SIGTERM, err
    (unfinished,) = outputs.glob("sweeps/*")
    assert len(list(unfinished.glob(f"*/{CellFile.LAST}"))) == num_cells
    with with_clock(-10, *sweep, f"outputs_dir={outputs}", "resume=last") as behind:
        _, err = behind.communicate()
    assert behind.returncode == 0, err
    assert warm.run(*sweep, f"outputs_dir={calm}").returncode == 0

    assert measured(outputs) == measured(calm)
    assert len(measured(calm)) == num_cells
    (report,) = outputs.glob("sweeps/*/report.json")
    assert json.loads(report.read_text())["cells"]
    assert warm.run(*sweep, f"outputs_dir={outputs}", "dry_run=true").returncode == 0  # what past epochs took


def measured(outputs):
    """Of each cell, its epochs with their accuracies, each once."""
    cells = [found for found in histories(outputs) if found[0] != "the sweep"]
    assert [status for _, status, _ in cells] == ["FINISHED"] * len(cells)
    return {cell: sorted(history["val/accuracy"]) for cell, _, history in cells}
