"""Killed at any moment, a writer leaves the old or the new: never half of it, and nothing that piles up."""

import signal

import pytest

from image_sweeps.system.files import write_text
from tests.support.disk_writers import ONE_OF_EACH_KIND, WRITERS
from tests.support.system_calls import on_x86, trace

pytestmark = on_x86

LEFT_OUT = {("Report", None), ("Records", None)}
"""A report takes half a second under the tracer, and is three texts; a journal comes to version 1 before 2."""


def killed_everywhere(name, before, folder):
    """Kill the writer of version 2 before the first system call that changes a file, before the second, and so on.

    Returns the version that was found after each of these deaths, and in the end, when it had lived.
    """
    writer, found, lives = WRITERS[name], [], False
    while not lives:
        home = folder / str(len(found))
        home.mkdir()
        if before is not None:
            writer.prepare(home, before)
            writer.write(home, before)
        writer.prepare(home, 2)
        others = {path.name for path in home.iterdir()} - set(writer.files)
        lives, error = trace(lambda: writer.write(home, 2), KillBefore(len(found)))  # noqa: B023, it is called at once
        assert not error, error
        found.append(writer.read(home))
        writer.write(home, 2)
        assert writer.read(home) == 2
        write_text(home / "another", "what is written next removes what the dead have left")
        assert {path.name for path in home.iterdir()} - others == {*writer.files, "another"}
    return found


class KillBefore:
    def __init__(self, number):
        self.left = number

    def __call__(self, call):
        if call.name is None:
            return None
        self.left -= 1
        return signal.SIGKILL if self.left < 0 else None


def writers_and_what_was_there():
    """A writer of each kind over what was there, and the simplest one where nothing was."""
    for name in WRITERS:
        for before in (None, 1):
            if (name, before) not in LEFT_OUT:
                chosen = name == "Text" or (name in ONE_OF_EACH_KIND and before == 1)
                yield pytest.param(name, before, marks=() if chosen else pytest.mark.soak)


@pytest.mark.parametrize(("name", "before"), list(writers_and_what_was_there()))
def test_what_is_in_place_is_old_until_it_is_new(aside, tmp_path, name, before):
    found = aside(killed_everywhere, name, before, tmp_path)
    is_new = [version == 2 for version in found]
    assert is_new == sorted(is_new)
    assert set(found) == {None if name == "Cache" else before, 2}
