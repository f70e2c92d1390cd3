"""A disk that answers a system call with an error: what was there stays, and the error says what, where and why."""

import errno
import re
from functools import partial

import pytest

from image_sweeps.system.files import locked, write_text
from tests.support.disk_writers import ONE_OF_EACH_KIND, WRITERS
from tests.support.system_calls import LOCK, on_x86, trace

pytestmark = on_x86

SAYS = {
    errno.ENOSPC: r"No space left on device \(the disk at /.* has .* of .* free.*\)\. Make room there; .*resume=last",
    errno.EDQUOT: r"Disk quota exceeded \(the disk at /.* has .* of .* free.*\)\. Make room there; .*resume=last",
    errno.EROFS: r"Read-only file system\. Make it writable, or name another place with outputs_dir=\.\.\.",
    errno.EIO: r"Input/output error\. Look after the disk; a sweep then goes on with resume=last",
}


class FailAt:
    """The n-th system call that changes a file in `folder` fails."""

    def __init__(self, number, error, folder):
        self.left, self.error, self.folder = number, error, folder

    def __call__(self, call):
        if call.name is None or not call.target.is_relative_to(self.folder):
            return None
        self.left -= 1
        return self.error if self.left == -1 else None


def failed_everywhere(name, error, folder):
    """Let every call of the writer of version 2 fail once. Returns what it raised then, and what was there."""
    writer, seen, number = WRITERS[name], [], 0
    while True:
        home = folder / str(number)
        home.mkdir()
        writer.prepare(home, 1)
        writer.write(home, 1)
        writer.prepare(home, 2)
        fail = FailAt(number, error, home)
        lives, raised = trace(lambda: writer.write(home, 2), fail)  # noqa: B023, it is called at once
        assert lives
        if fail.left >= 0:
            return seen
        seen.append((raised, writer.read(home)))
        writer.write(home, 2)
        assert writer.read(home) == 2
        number += 1


def writers_and_errors():
    """A writer of each kind with one error, and one writer with each error: what an error says is the same for all."""
    for name in (name for name in WRITERS if name != "Report"):
        for error in SAYS:
            chosen = name == "Text" or (name in ONE_OF_EACH_KIND and error == errno.ENOSPC)
            marks = () if chosen else pytest.mark.soak
            yield pytest.param(name, error, marks=marks, id=f"{name}-{errno.errorcode[error]}")


@pytest.mark.parametrize(("name", "error"), list(writers_and_errors()))
def test_old_or_new_is_there_and_the_error_says_what_to_do(aside, tmp_path, name, error):
    for raised, found in aside(failed_everywhere, name, error, tmp_path):
        old = None if name == "Cache" else 1
        assert found in ((old, 2) if raised else (2,))
        if raised:
            files = "|".join(map(re.escape, WRITERS[name].files))
            assert re.fullmatch(
                rf"image_sweeps\.system\.files\.DiskError: /.*/({files})(/.*)?: could not be written: {SAYS[error]}\n",
                raised,
            )


def calls_of(work, folder):
    """The system calls by which `work` changes files in `folder`, with the names of these."""
    seen = []

    def note(call):
        if call.name is not None and call.target.is_relative_to(folder):
            seen.append((call.name, re.sub(r"\w{8}\.[^/]*(?=\.unfinished)", "*", str(call.target.relative_to(folder)))))

    lives, raised = trace(work, note)
    assert lives, raised
    return seen


def two_writes(folder):
    return [calls_of(partial(write_text, folder / "new" / "a.txt", text), folder) for text in ("one", "two")]


def test_contents_and_names_are_on_the_disk_when_a_file_is_written(aside, tmp_path):
    first, second = aside(two_writes, tmp_path)
    whole = [
        ("openat", "new/.a.txt.*.unfinished"),
        ("write", "new/.a.txt.*.unfinished"),
        ("fsync", "new/.a.txt.*.unfinished"),
        ("rename", "new/.a.txt.*.unfinished"),
        ("fsync", "new"),
        ("unlink", "new/.a.txt.*.unfinished"),
    ]
    assert first == [("mkdir", "new"), ("fsync", "."), *whole]
    assert second == whole


def written_without(call_number, error, path):
    """Write twice where this system call always fails."""
    for text in ("one", "two"):
        lives, raised = trace(
            partial(write_text, path, text), lambda call: error if call.registers.orig_rax == call_number else None
        )
        assert lives, raised
        assert not raised


def test_a_file_system_without_locks_will_do(aside, tmp_path):
    aside(written_without, LOCK, errno.ENOLCK, tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "two"


def enter(path):
    with locked(path):
        path.with_name(".entered").touch()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_nobody_is_kept_out(aside, tmp_path, error):
    aside(without_locks, error, tmp_path / ".lock")
    assert (tmp_path / ".entered").exists()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", ".entered"}  # and no lock that stays


def without_locks(error, path):
    lives, raised = trace(partial(enter, path), lambda call: error if call.registers.orig_rax == LOCK else None)
    assert (lives, raised) == (True, "")
