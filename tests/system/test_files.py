import errno
import os
import re
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import Timeout

from image_sweeps.system.files import (
    UNFINISHED,
    DiskError,
    disk_trouble,
    locked,
    make_folder,
    why_not_writable,
    write_first,
    write_text,
    write_whole,
)
from tests.support.file_limits import largest_file


def test_a_file_is_written_with_its_folders(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "Größe")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "Größe"


def test_a_failed_write_leaves_the_old_contents_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_killed_writers_of_this_machine_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / f".a.txt.0123.{socket.gethostname()}{UNFINISHED}").write_text("half of the n")
    others = {f"mine{UNFINISHED}", f".a.txt.0123.another-machine{UNFINISHED}"}
    for name in others:
        (tmp_path / name).write_text("no temporary file of this machine")
    write_text(tmp_path / "b.txt", "another")
    assert {p.name for p in tmp_path.iterdir()} == {"b.txt", *others}


def test_the_first_to_write_a_file_is_the_only_one(tmp_path):
    assert write_first(tmp_path / "a.txt", "first")
    assert not write_first(tmp_path / "a.txt", "second")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "first"}


def test_a_lock_keeps_others_out_until_its_block_is_over(tmp_path):
    with locked(tmp_path / "new" / ".lock"), pytest.raises(Timeout), locked(tmp_path / "new" / ".lock", timeout_s=0):
        pass
    with locked(tmp_path / "new" / ".lock", timeout_s=0):
        pass


def test_what_another_is_writing_is_not_taken_for_a_leftover(tmp_path):
    def write_slowly(file):
        write_text(tmp_path / "b.txt", "meanwhile")
        file.write(b"slowly")

    write_whole(tmp_path / "a.txt", write_slowly)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "slowly", "b.txt": "meanwhile"}


def test_an_error_that_is_not_of_the_disk_stays_what_it_is(tmp_path):
    def fail(file):
        file.write(b"half of the n")
        raise FileNotFoundError(2, "No such file or directory", "an image")

    with pytest.raises(FileNotFoundError, match="an image"):
        write_whole(tmp_path / "a.txt", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_bytes", range(0, 60_000, 5_999))
def test_a_file_that_does_not_fit_leaves_the_old_contents(tmp_path, num_bytes):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    message = f"{path}: could not be written: File too large. Raise the limit that ulimit -f sets"
    with pytest.raises(DiskError, match=f"^{re.escape(message)}$"), largest_file(num_bytes):
        write_text(path, "x" * 60_000)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_that_are_there_are_left_alone(tmp_path):
    make_folder(tmp_path)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "a").write_text("")
    message = (
        rf"^{tmp_path}/a/b/c\.txt: could not be written: File exists: {tmp_path}/a\. Make it writable, or name another"
    )
    with pytest.raises(DiskError, match=message):
        write_text(tmp_path / "a" / "b" / "c.txt", "")
    assert why_not_writable(tmp_path / "a" / "b") == f"{tmp_path / 'a'} is a file"


@pytest.mark.skipif(os.geteuid() != 0, reason="others lack the permission")
def test_a_place_where_no_folder_can_be_made_is_not_writable():
    assert why_not_writable(Path("/proc/x")) == "no folder can be made in /proc (No such file or directory)"


def test_a_folder_that_can_be_made_is_writable(tmp_path):
    assert why_not_writable(tmp_path) is None
    assert why_not_writable(tmp_path / "not" / "there" / "yet") is None
    assert not list(tmp_path.iterdir())


def raised(*errors):
    """The last of these errors, raised while each before it was being handled."""
    for earlier, later in pairwise(errors):
        later.__context__ = earlier
    return errors[-1]


def test_a_full_disk_is_found_in_what_others_made_of_it(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "b.png"))
    for error in (
        raised(full),
        raised(full, RuntimeError("unexpected pos")),
        raised(full, OSError(errno.EIO, "later")),
    ):
        assert str(disk_trouble(error, tmp_path)).startswith(f"{tmp_path}/b.png: could not be written: No space left")
    nameless = raised(OSError(errno.EDQUOT, "Disk quota exceeded"), ValueError())
    assert str(disk_trouble(nameless, tmp_path)).startswith(f"{tmp_path}: could not be written: Disk quota exceeded")


def test_what_went_wrong_first_is_told(tmp_path):
    first, second = (OSError(errno.ENOSPC, "No space left on device", str(tmp_path / name)) for name in "ab")
    assert str(disk_trouble(raised(first, second), tmp_path)).startswith(f"{tmp_path}/a: ")
    told = DiskError.at(tmp_path / "c", first)
    assert disk_trouble(raised(told, second), tmp_path) is told


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file"), OSError(errno.ENOMEM, "no"), ValueError()])
def test_other_errors_are_none_of_the_disk(tmp_path, error):
    assert disk_trouble(error, tmp_path) is None
