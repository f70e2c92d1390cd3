"""The end of a process, looked at from outside of it."""

import subprocess
import sys
from textwrap import dedent

import pytest


def _left(body, **more):
    imports = "import atexit, sys\nfrom image_sweeps.system import process_exit"
    code = f"{imports}\n\ndef main():\n{body}\n\nprocess_exit.run(main)\n"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **more)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("    pass", 0),
        ("    sys.exit()", 0),
        ("    sys.exit(2)", 2),
        ("    sys.exit('why')", 1),
        ("    raise ValueError('why')", 1),
    ],
)
def test_the_exit_code_is_the_one_the_interpreter_would_have_given(body, code):
    assert _left(body).returncode == code


@pytest.mark.parametrize("body", ["    sys.exit('why')", "    raise ValueError('why')"])
def test_what_ended_it_is_printed(body):
    assert "why" in _left(body).stderr


def test_what_was_printed_and_not_yet_written_arrives():
    assert _left("    print('a' * 100_000, end='')").stdout == "a" * 100_000


def test_what_is_to_be_done_at_exit_is_done_first():
    body = "    atexit.register(print, 'first registered')\n    atexit.register(print, 'last registered')"
    assert _left(body).stdout.split("\n") == ["last registered", "first registered", ""]


def test_threads_are_waited_for():
    body = dedent("""\
        import threading
        gate = threading.Event()
        threading.Thread(target=lambda: (gate.wait(), print('worked'))).start()
        threading.Timer(0.1, gate.set).start()
    """)
    assert _left("".join(f"    {line}\n" for line in body.splitlines())).stdout == "worked\n"


def test_objects_are_not_taken_down():
    body = "    global kept\n    class Kept:\n        def __del__(self): print('taken down')\n    kept = Kept()"
    assert _left(body).stdout == ""
