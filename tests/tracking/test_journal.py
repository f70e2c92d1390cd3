"""The journal, on a real disk, with processes that are killed while they write."""

import json
import signal
import subprocess
import sys

import pytest

from image_sweeps.cell.status import CellStatus
from image_sweeps.tracking.journal import Journal, Progress, journals, pending
from image_sweeps.tracking.recorded_runs import RecordedRun
from tests.support.configurations import ROOT, config_of

TRACKING = config_of().tracking

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from image_sweeps.tracking.journal import Journal, Progress, journals, pending
from image_sweeps.tracking.recorded_runs import RecordedRun
journal = Journal(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    journal.metrics([(f"m{k}", number / 7, number, number) for k in range(200)])
"""


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    journal.begin("model=cnn", {"kind": "cell"}, TRACKING, nested=False)
    return journal


def test_a_run_that_is_begun_again_goes_on(journal):
    journal.end(CellStatus.INTERRUPTED, "interrupted")
    assert not journal.open
    journal.begin("model=cnn", {"kind": "cell"}, TRACKING, nested=False)
    assert [entry["do"] for entry in journal.entries()] == ["begin", "end", "go on"]
    assert journal.open


def test_a_parameter_has_one_value(journal):
    journal.params({"lr": 0.1})
    journal.params({"lr": 0.2, "epochs": 3})
    assert journal.known_params() == {"lr": "0.1", "epochs": "3"}


def test_half_a_line_is_no_entry_and_is_written_over(journal):
    path = journal.folder / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"do": "metrics", "metr')
    assert journal.size == len(whole)
    assert len(journal.entries()) == 1
    journal.end(CellStatus.FINISHED)
    assert [entry["do"] for entry in journal.entries()] == ["begin", "end"]


def test_half_a_line_longer_than_a_block_is_written_over_too(journal):
    path = journal.folder / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 10_000)
    assert journal.size == len(whole)
    journal.end(CellStatus.FINISHED)
    assert len(journal.entries()) == 2


def test_a_journal_of_nothing_but_half_a_line_has_not_begun(tmp_path):
    journal = Journal(tmp_path)
    journal.folder.mkdir()
    (journal.folder / "journal.jsonl").write_bytes(b'{"do": "beg')
    assert not journal.exists
    assert not journal.open
    journal.begin("model=cnn", {}, TRACKING, nested=False)
    assert [entry["do"] for entry in journal.entries()] == ["begin"]


def test_a_process_that_is_killed_leaves_whole_entries(journal):
    for _ in range(5):
        before = len(journal.entries())
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(journal.home)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            while len(journal.entries()) < before + 3:
                pass
            writer.send_signal(signal.SIGKILL)
        entries = journal.entries()
        assert all(len(entry["metrics"]) == 200 for entry in entries[1:])
        assert journal.size == sum(len(json.dumps(entry)) + 1 for entry in entries)


def test_what_is_pending_is_what_comes_after_the_offset(journal, tmp_path):
    journal.save_progress(Progress("run", journal.size))
    assert journal.num_pending == 0
    journal.metrics([("m", 1.0, 1, 1)])
    journal.tags({"a": "b"})
    assert journal.num_pending == 2
    other = Journal(tmp_path / "cell")
    other.begin("seed=1", {}, TRACKING, nested=True)
    assert pending(tmp_path) == (3, 2)
    assert [found.home for found in journals(tmp_path)] == [tmp_path, tmp_path / "cell"]


def test_files_that_a_killed_process_left_are_not_the_runs(journal):
    folder = journal.folder / str(journal.size)  # as `files` names it
    folder.mkdir()
    (folder / "half.csv").touch()
    assert journal.file("half.csv") is None
    with journal.files() as folder:
        assert not list(folder.iterdir())
        (folder / "whole.csv").touch()
    assert journal.file("whole.csv").exists()


def test_a_journal_from_elsewhere_cannot_name_a_folder_that_is_not_its_own(journal, tmp_path):
    path = journal.folder / "journal.jsonl"
    path.write_text(path.read_text() + '{"do": "files", "at_ms": 1, "folder": "../../precious"}\n')
    with pytest.raises(ValueError, match=r"'\.\./\.\./precious' is no folder of a journal"):
        journal.file("a.txt")


def test_a_run_can_be_read_from_its_journal(journal):
    journal.params({"lr": 0.1})
    journal.metrics([("m", 1.0, 1, 1), ("m", float("nan"), 2, 2), ("n", 3.0, 3, 0)])
    journal.tags({"kind": "other"})
    journal.end(CellStatus.FAILED, "because")
    run = RecordedRun.load(journal)
    assert (run.status, run.name) == (CellStatus.FAILED, "model=cnn")
    assert run.params == {"lr": "0.1"}
    assert run.metrics == {"m": pytest.approx(float("nan"), nan_ok=True), "n": 3.0}
    assert run.recorded_ms == {"m": 2, "n": 3}
    assert run.tags == {"kind": "other", "reason": "because"}
    assert run.end_ms >= run.start_ms


def test_there_is_nothing_to_read_of_a_run_that_was_never_begun(tmp_path):
    assert RecordedRun.load(Journal(tmp_path)) is None
