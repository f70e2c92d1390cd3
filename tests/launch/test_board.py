import io
import os
import pty
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from rich.console import Console

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch import board as live
from image_sweeps.launch.board import Lines, LiveTable, Row, clock, shortened
from tests.support.configurations import ROOT

SCORES = {"val_accuracy": 0.98611, "test_accuracy": 0.9778}
FINISHED = Result("a", "model=cnn seed=1", CellStatus.FINISHED, **SCORES, seconds=3.14)
LONG = "model=cnn_batch optimizer.lr=0.1 optimizer.weight_decay=0.0001 augmentation=standard seed="


def cell(name, number=0, epochs=20):
    return SimpleNamespace(id=f"{name}{number}", name=name, config=SimpleNamespace(epochs=epochs))


def epoch(number, val_accuracy):
    return SimpleNamespace(number=number, val_accuracy=val_accuracy)


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns; gives what is printed on it."""
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(live, "CONSOLE", console)
    monkeypatch.setattr("image_sweeps.system.console.CONSOLE", console)
    return console


def rows(screen, table):
    """What the table shows, line by line."""
    with screen.capture() as capture:
        screen.print(table.render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_without_a_terminal_there_is_a_line_a_cell_and_none_an_epoch(capsys):
    with live.board(3) as board:
        assert isinstance(board, Lines)
        board.on_process_start(cell("model=cnn seed=1"), "gpu 0")
        board.on_train_start(cell("model=cnn seed=1"), 0)
        board.on_epoch_end(cell("model=cnn seed=1"), epoch(1, 0.5))
        board.on_cell_end(FINISHED)
        board.on_failure(cell("seed=[2]"), "ValueError: [bold]")
        board.on_cell_end(Result("b", "seed=[2]", CellStatus.FAILED, "ValueError: no"))
        board.on_cell_end(Result("c", "seed=3", CellStatus.INTERRUPTED))
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "[1/3] model=cnn seed=1: val 98.61%, test 97.78%, 3.1 s",
        "[2/3] seed=[2]: failed",
        "[3/3] seed=3: interrupted",
    ]
    assert err == "seed=[2] failed. ValueError: [bold]\n"


def test_a_running_cell_has_a_row_and_the_sweep_a_bar(screen):
    table = LiveTable(4)
    for number in range(3):
        table.on_process_start(cell("seed=", number), f"gpu {number}")
    table.on_train_start(cell("seed=", 0), 0)
    table.on_train_start(cell("seed=", 1), 5)
    table.on_epoch_end(cell("seed=", 1), epoch(6, 0.875))
    heading, first, second, third, whole = rows(screen, table)
    assert heading.split() == ["running", "slot", "epoch", "val", "acc", "left"]
    assert first.split() == ["seed=", "gpu", "0", "0/20"]
    assert second.split()[:5] == ["seed=", "gpu", "1", "6/20", "87.50%"]
    assert third.split() == ["seed=", "gpu", "2", "starts"]
    assert "0/4 cells" in whole


def test_a_cell_that_is_over_leaves_its_row_for_a_line(screen):
    table = LiveTable(2)
    table.on_process_start(cell("a", ""), "gpu 0")
    table.on_cell_end(FINISHED)
    assert screen.file.getvalue() == "[1/2] model=cnn seed=1: val 98.61%, test 97.78%, 3.1 s\n"
    heading, whole = rows(screen, table)
    assert heading.startswith("running")
    assert "1/2 cells" in whole


def test_failures_are_counted(screen):
    table = LiveTable(2)
    table.on_process_start(cell("a", ""), "gpu 0")
    table.on_cell_end(Result("a", "a", CellStatus.FAILED, "no"))
    assert "1/2 cells, 1 failed" in rows(screen, table)[-1]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_row_is_a_line_however_long_the_name(screen, width):
    screen.width = width
    table = LiveTable(3)
    for number in range(3):
        one = cell(f"{LONG}{number}")
        table.on_process_start(one, f"gpu {number}")
        table.on_train_start(one, 0)
        table.on_epoch_end(one, epoch(1, 1.0))
    lines = rows(screen, table)
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert ["seed=0  gpu" in lines[1], "seed=1  gpu" in lines[2], "seed=2  gpu" in lines[3]] == [True] * 3
    assert ("…" in lines[1]) == (width < 120)


def test_more_rows_than_the_terminal_has_lines_are_counted(screen):
    screen.height = 10
    table = LiveTable(64)
    for number in range(64):
        table.on_process_start(cell("seed=", number), f"gpu {number}")
    lines = rows(screen, table)
    assert len(lines) < 10
    assert lines[-2] == "and 58 more"
    assert "0/64 cells" in lines[-1]


def test_what_is_left_of_a_cell_follows_from_the_epochs_of_this_process():
    row = Row("a", "cpu 0", num_epochs=20, started=90.0, begun=100.0, num_done_before=10, num_done=12, last=104.0)
    assert row.remaining_s(now=104.0) == 8 * 2.0
    assert row.remaining_s(now=105.0) == 15.0
    assert row.remaining_s(now=1000.0) == 0.0
    assert Row("a", "cpu 0", num_epochs=20, started=90.0, begun=100.0).remaining_s(now=104.0) is None


def test_what_is_left_of_the_sweep_is_shared_by_the_slots(screen):
    table = LiveTable(6)
    table.num_over, table.durations_s = 1, [30.0]
    running = [
        Row("a", "0", num_epochs=4, started=100.0, begun=100.0, num_done=2, last=110.0),  # 20 s, 10 of them to come
        Row("b", "1", num_epochs=4, started=110.0),
    ]
    typical = (20 + 30) / 2
    assert table._remaining_s(110.0, running) == (10 + typical + 3 * typical) / 2
    assert table._remaining_s(110.0, []) is None


def test_before_anything_was_measured_nothing_is_foretold(screen):
    table = LiveTable(2)
    table.on_process_start(cell("a"), "gpu 0")
    assert rows(screen, table)[-1].endswith("0/2 cells")


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (0.4, "0:00"), (65, "1:05"), (7265, "2:01:05")])
def test_a_time_is_as_on_a_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("width", "text"), [(10, "0123456789"), (9, "0123…6789"), (8, "0123…789")])
def test_a_long_name_is_cut_in_the_middle(width, text):
    assert shortened("0123456789", width) == text


SCRIPT = """
import os, signal
from types import SimpleNamespace as N
from image_sweeps.launch import board as live
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs are born without
try:
    with live.board(2) as board:
        board.on_process_start(N(id="a", name="seed=0", config=N(epochs=3)), "cpu 0")
        board.on_failure(N(name="seed=0"), "ValueError: in red ink")
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_leaves_the_terminal_as_it_was():
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env={**os.environ, "TERM": "xterm"}, **ends
    ) as process:
        os.close(theirs)
        written = b"".join(iter(partial(read, ours), b""))
    os.close(ours)
    text = written.decode()
    assert process.returncode == 0, text
    assert "seed=0 failed. ValueError: in red ink\r\n" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again
    assert text.endswith("interrupted\r\n")


def read(terminal_fd):
    try:
        return os.read(terminal_fd, 4096)
    except OSError:  # how Linux says that the other side has gone
        return b""
