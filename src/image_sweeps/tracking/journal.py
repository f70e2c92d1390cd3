"""What a run records, on the disk before anywhere else: nobody waits for a store, and what it misses is not lost.

Every run has a journal, a line an entry, in a folder beside its checkpoint. `delivery` brings the entries to the store,
in their order; each says when it happened, and bringing it twice leaves one record.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import Tracking
from image_sweeps.system.files import disk_errors, make_folder, sync_folder, write_text

ENTRIES, DELIVERED, REFUSED, LOCK = "journal.jsonl", "delivered.json", "refused.jsonl", ".lock"

REASON = "reason"
"""The tag that says why a run did not finish."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run, in Markdown."""

PRUNED = "pruned"
"""The tag of a run that a search gave up: after how many epochs."""

BLOCK = 4096  # bytes, read at a time from the end

Entry = dict[str, Any]

Measurement = tuple[str, float, int, int]
"""Key, value, milliseconds since 1970, step: an MLflow metric."""


@dataclass(frozen=True)
class Progress:
    """How far the delivery of a journal has come.

    Attributes:
        run_id: the run's in the store; None where it is not known to be there.
        offset: the bytes of the journal that are delivered.
        num_refused: how many entries the store would not take.
    """

    run_id: str | None = None
    offset: int = 0
    num_refused: int = 0


class Journal:
    """The journal of one run.

    Args:
        home: the folder of the cell, or of the sweep, that the run is of.
        check: is called before anything is written, and raises where that is another's by now.
    """

    def __init__(self, home: Path, check: Callable[[], object] = lambda: None) -> None:
        self.home, self.check = home, check
        self.folder = home / CellFile.RECORDS

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, name: str, tags: Mapping[str, str], tracking: Tracking, *, nested: bool) -> None:
        """The run begins, or goes on after it was interrupted.

        Args:
            name: of the run.
            tags: of the run.
            tracking: where it is to be brought to.
            nested: whether it belongs under that of the folder above.
        """
        if self.exists:
            self._append("go on", name=name)
            return
        with disk_errors(self.folder):
            make_folder(self.folder)
        where = {"uri": tracking.uri, "experiment": tracking.experiment}
        self._append("begin", token=uuid.uuid4().hex, name=name, tags=dict(tags), nested=nested, **where)

    def params(self, params: Mapping[str, object]) -> None:
        """Parameters. One that is recorded already stays as it is: a store takes no second value."""
        known = self.known_params()
        if new := {key: str(value) for key, value in params.items() if key not in known}:
            self._append("params", params=new)

    def metrics(self, measurements: Sequence[Measurement]) -> None:
        """Measurements, each with the moment at which it was taken; one that is recorded already is no second one."""
        if measurements:
            self._append("metrics", metrics=[list(measurement) for measurement in measurements])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags. The last value counts."""
        self._append("tags", tags=dict(tags))

    def dataset(self, **facts: str) -> None:
        """The data set, in the words of MLflow's `Dataset` entity."""
        self._append("dataset", **facts)

    @contextmanager
    def files(self, do: str = "files") -> Iterator[Path]:
        """A folder for files, which are the run's artifacts, under the same names, when the block is over."""
        folder = self.folder / str(self.size)  # the journal only grows: no other has this name
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed in this block
        folder.mkdir(parents=True)
        yield folder
        self._append(do, folder=folder.name)

    def end(self, status: CellStatus, reason: str | None = None) -> None:
        """The run is over."""
        self._append("end", status=status.run_status, reason=reason)

    def _append(self, do: str, **fields: object) -> None:
        """One more entry. It is there for good when this returns, or not at all.

        Raises:
            DiskError: where the disk does not take it.
        """
        self.check()
        line = json.dumps({"do": do, "at_ms": int(time.time() * 1000), **fields}).encode() + b"\n"
        path = self.folder / ENTRIES
        new = not path.exists()
        with disk_errors(path), path.open("a+b") as file:
            file.truncate(_whole(file))  # a process that was killed may have left half a line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            if new:
                sync_folder(self.folder)

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        return self.size > 0

    @property
    def size(self) -> int:
        """Bytes; half a line at the end does not count."""
        try:
            with (self.folder / ENTRIES).open("rb") as file:
                return _whole(file)
        except FileNotFoundError:
            return 0

    @property
    def open(self) -> bool:
        """Whether the run has begun and not ended."""
        turns = (entry["do"] for entry in reversed(self.entries()) if entry["do"] in ("begin", "go on", "end"))
        return next(turns, "end") != "end"

    @property
    def progress(self) -> Progress:
        path = self.folder / DELIVERED
        return Progress(**json.loads(path.read_text())) if path.exists() else Progress()

    @property
    def num_pending(self) -> int:
        """How many entries are not in the store yet."""
        offset = self.progress.offset
        return len(self.entries(offset)) if offset < self.size else 0

    def entries(self, offset: int = 0) -> list[Entry]:
        """The entries from a byte on. Half a line at the end is none."""
        try:
            with (self.folder / ENTRIES).open("rb") as file:
                file.seek(offset)
                return [json.loads(line) for line in file.read().split(b"\n")[:-1]]
        except FileNotFoundError:
            return []

    def lines(self, offset: int) -> Iterator[tuple[Entry, int]]:
        """The entries from a byte on, each with the byte at which it ends."""
        with (self.folder / ENTRIES).open("rb") as file:
            file.seek(offset)
            for line in file:
                if line.endswith(b"\n"):
                    offset += len(line)
                    yield json.loads(line), offset

    def known_params(self) -> dict[str, str]:
        return {key: value for entry in self.entries() for key, value in entry.get("params", {}).items()}

    def known_metrics(self) -> dict[str, float]:
        """The latest value of each metric."""
        return {key: value for entry in self.entries() for key, value, *_ in entry.get("metrics", ())}

    def file(self, name: str) -> Path | None:
        """An artifact that is still here, because it is not in the store yet."""
        for entry in reversed(self.entries()):
            if entry["do"] == "files":
                path = self.folder_of(entry) / name
                if path.is_file():
                    return path
        return None

    def folder_of(self, entry: Entry) -> Path:
        """Where the files of an entry are. It is removed when they have arrived, so that it must be ours."""
        name = str(entry["folder"])
        if not name.isdecimal():
            raise ValueError(f"{self.folder / ENTRIES}: {name!r} is no folder of a journal")
        return self.folder / name

    # --- of the delivery ----------------------------------------------------------------------------------------------

    def note(self, progress: Progress) -> None:
        """Remember how far the delivery has come."""
        write_text(self.folder / DELIVERED, json.dumps(asdict(progress)))

    def refuse(self, entry: Entry, reason: str) -> None:
        """Keep an entry apart that the store does not take."""
        with (self.folder / REFUSED).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**entry, "refused": reason}) + "\n")


def journals(folder: Path) -> Iterator[Journal]:
    """The journals of a sweep and its cells, in its folder; the sweep's own first, since its cells belong under it."""
    for home in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (journal := Journal(home)).exists:
            yield journal


def by_run(sweeps: Path) -> dict[str, Journal]:
    """The journals of all cells in the folders of sweeps, by the ids of their runs, as far as these have arrived."""
    found = (Journal(records.parent) for records in sweeps.glob(f"*/*/{CellFile.RECORDS}"))
    return {run_id: journal for journal in found if (run_id := journal.progress.run_id)}


def pending(folder: Path) -> tuple[int, int]:
    """How many entries of a sweep and its cells are not in the store yet, and of how many runs these are."""
    counts = [journal.num_pending for journal in journals(folder)]
    return sum(counts), sum(count > 0 for count in counts)


def _whole(file: BinaryIO) -> int:
    """How many bytes of `file` are whole lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
