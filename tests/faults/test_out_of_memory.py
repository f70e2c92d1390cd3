"""Memory that really runs out in one cell: that cell fails alone, says why, and can be gone on with."""

import resource
from pathlib import Path

from image_sweeps.cell.result import load_status
from image_sweeps.cell.status import CellStatus
from image_sweeps.fit.memory import HINT
from image_sweeps.launch.attempt import run_attempt
from tests.support.saved_sweep import Sweep

GROUP = "pool"

LARGE = "4500"
MARGIN_BYTES = 64 * 2**20
"""Enough for small networks, and not for the 81 MB of a large one's second layer."""


def size_of_process():
    """Of the addresses that it has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limited(cell, folder, progress):
    """The real work. A cell with a large network gets little more memory than it has."""
    if LARGE in cell.name:
        resource.setrlimit(resource.RLIMIT_AS, (size_of_process() + MARGIN_BYTES,) * 2)
    run_attempt(cell, folder, progress)


def test_a_cell_without_memory_fails_alone_and_is_gone_on_with(tmp_path):
    sweep = Sweep(tmp_path, "sweep", [f"model.hidden=[16],[{LARGE},{LARGE}],[32]"])
    small, large, other = (f"model.hidden=[{sizes}]" for sizes in ("16", f"{LARGE},{LARGE}", "32"))
    results = sweep.run(limited)
    assert {name: result.status for name, result in results.items()} == {
        small: "finished",
        large: "failed",
        other: "finished",
    }
    reason = results[large].reason
    assert reason == (
        f"out of memory: can't allocate memory: you tried to allocate {4500 * 4500 * 4} bytes. "
        f"Error code 12 (Cannot allocate memory). {HINT}"
    )
    assert sweep.listener.failures == {large: reason}
    assert [load_status(folder) for folder in sweep.folders] == [
        CellStatus.FINISHED,
        CellStatus.FAILED,
        CellStatus.FINISHED,
    ]

    again = sweep.run(run_attempt)
    assert {result.status for result in again.values()} == {"finished"}
    assert {name: result.val_loss for name, result in again.items() if name != large} == {
        name: result.val_loss for name, result in results.items() if name != large
    }
