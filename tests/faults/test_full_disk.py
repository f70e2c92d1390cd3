"""Sweeps on disks that are full, or become it, or are read-only: told in words, nothing broken, and gone on with.

The disks are real ones, in memory.
"""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from image_sweeps.cell.result import Result
from image_sweeps.fit import checkpoint
from image_sweeps.system.files import UNFINISHED, why_not_writable, write_text
from tests.support import warm
from tests.support.recorded import histories
from tests.support.soak import depth
from tests.support.system_calls import on_x86, trace

SWEEP = ("-m", "dataset.image_size=8", "model=mlp,cnn", "epochs=2")
NUM_SIZES = depth(1, 4)
"""Of disks, evenly between nothing and what the sweep needs: on one, it is half of that."""
ENOUGH_MB = 200


class Disk:
    """A file system of its own."""

    def __init__(self, folder):
        self.folder = folder

    def set(self, *options):
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(self.folder)], check=True)

    @property
    def used_kb(self):
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize // 1024


@contextmanager
def mounted(folder):
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ENOUGH_MB}m", "none", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The outputs of the sweep on a disk that is large enough, and how much of it they take."""
    with mounted(tmp_path_factory.mktemp("undisturbed") / "disk") as large:
        ran = swept(large.folder / "outputs")
        assert ran.returncode == 0, ran.stderr
        yield large.folder / "outputs", large.used_kb


def swept(outputs, *overrides):
    return warm.run(*SWEEP, f"outputs_dir={outputs}", *overrides)


def check_what_is_there(outputs):
    """Whatever counts is whole. Files for MLflow do when the journal says that they are all there."""
    for folder in ("sweeps/*", "sweeps/*/*", "sweeps/*/*/records"):
        for path in outputs.glob(f"{folder}/*.json"):
            json.loads(path.read_text())
    for path in outputs.glob("sweeps/*/*/*.pt"):
        checkpoint.load(path)
    for path in outputs.glob("cache/*.npy"):
        np.load(path)
    for path in outputs.glob("sweeps/*/report.html"):
        assert path.read_text().endswith("</html>")


def outcomes(outputs):
    """Of the cells, all but how long they took and what MLflow calls them."""
    found = [Result.load(path.parent) for path in outputs.glob("sweeps/*/*/result.json")]
    return {r.name: (r.status, r.best_epoch, r.val_loss, r.val_accuracy, r.test_accuracy) for r in found}


def recorded(outputs):
    """What MLflow has of each cell, and of the sweep, whose own metrics are those of its latest report."""
    return sorted(
        (
            cell,
            status,
            sorted((key, dict(values) if cell == "the sweep" else values) for key, values in history.items()),
        )
        for cell, status, history in histories(outputs)
    )


@pytest.mark.deep
@pytest.mark.parametrize("number", range(1, NUM_SIZES + 1))
def test_a_sweep_that_fills_the_disk_goes_on_when_there_is_room(disk, undisturbed, number):
    whole, needed_kb = undisturbed
    disk.set(f"size={needed_kb * number // (NUM_SIZES + 1)}k")
    outputs = disk.folder / "outputs"

    full = swept(outputs)
    begun = bool(list(outputs.glob("sweeps/*/plan.json")))
    assert full.returncode in ((1,) if begun else (1, 2)), full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert "disk" in full.stderr
    assert "full" in full.stderr or f"No space left on device (the disk at {disk.folder} has " in full.stderr
    check_what_is_there(outputs)
    finished = {name for name, (status, *_) in outcomes(outputs).items() if status == "finished"}

    disk.set(f"size={ENOUGH_MB}m")
    again = swept(outputs, *(["resume=last"] if begun else []))
    assert again.returncode == 0, again.stderr
    assert not finished or f"{len(finished)} finished" in again.stdout
    assert outcomes(outputs) == outcomes(whole)
    assert recorded(outputs) == recorded(whole)
    assert not list(outputs.rglob(f"*{UNFINISHED}"))


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_read_only_disk_is_refused_before_anything_runs(disk, command_line, mode):
    disk.set("ro")
    ran = command_line(*mode, f"outputs_dir={disk.folder}/outputs")
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "The configuration has a problem; nothing was run.",
        f"  outputs_dir = '{disk.folder}/outputs': the disk at {disk.folder} is read-only; mend that, or name another "
        "place with outputs_dir=...",
    ]


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_full_disk_is_refused_before_anything_runs(disk, command_line, mode):
    disk.set("size=64k")
    (disk.folder / "much").write_bytes(bytes(64 * 1024))
    ran = command_line(*mode, f"outputs_dir={disk.folder}/outputs")
    assert ran.returncode == 2
    assert f"outputs_dir = '{disk.folder}/outputs': the disk at {disk.folder} is full; mend that, or" in ran.stderr
    assert [path.name for path in disk.folder.iterdir()] == ["much"]


@pytest.mark.parametrize("size_kb", [4, 300])
def test_a_single_run_that_fills_the_disk_fails_in_words(disk, command_line, size_kb):
    disk.set(f"size={size_kb}k")
    ran = command_line(f"outputs_dir={disk.folder}/outputs", "tracking.offline=true")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert f"could not be written: No space left on device (the disk at {disk.folder} has " in ran.stderr


def test_a_dry_run_needs_no_disk(disk, command_line):
    disk.set("ro")
    ran = command_line("-m", f"outputs_dir={disk.folder}/outputs", "seed=0,1", "dry_run=true")
    assert ran.returncode == 0, ran.stderr


def as_nobody(path):
    """What a user without permission is told before, and when writing all the same."""

    def write():
        os.setuid(65534)
        reason = why_not_writable(path)
        try:
            write_text(path / "a.txt", "")
        except OSError as error:
            raise OSError(f"{reason}|{error}") from None

    return trace(write, lambda call: None)[1]


@on_x86
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_folder_without_permission_is_named(aside):
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # pytest's own folders keep others out
        outputs = Path(place).resolve() / "outputs"
        outputs.mkdir(mode=0o555)
        before, when_written = aside(as_nobody, outputs).removeprefix("OSError: ").strip().split("|")
    assert before == f"there is no permission to write into {outputs}"
    assert when_written == (
        f"{outputs}/a.txt: could not be written: Permission denied. Make it writable, or name another place with "
        "outputs_dir=..."
    )
