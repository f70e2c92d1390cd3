"""The journal of a run: records go to the disk first, so that no run waits for a store and no record is lost.

Every run has a journal, with one entry per line, in a folder beside its checkpoint. `delivery` brings the entries to
the store in their order. Each entry holds the time at which it was made, and delivering it twice leaves one record.
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
"""The tag of a run that a search has pruned. Its value is the number of epochs that were trained."""

BLOCK = 4096  # bytes, read at a time from the end

Entry = dict[str, Any]

Measurement = tuple[str, float, int, int]
"""An MLflow metric: key, value, time in milliseconds since 1970, step."""


@dataclass(frozen=True)
class Progress:
    """The progress of the delivery of a journal.

    Attributes:
        run_id: the id of the run in the store; None if the run is not known to be there.
        offset: the number of bytes of the journal that are delivered.
        num_refused: the number of entries that the store refused.
    """

    run_id: str | None = None
    offset: int = 0
    num_refused: int = 0


class Journal:
    """The journal of one run.

    Args:
        home: the folder of the cell, or of the sweep, that the run belongs to.
        check: called before each entry is written; it raises if another attempt has claimed the folder.
    """

    def __init__(self, home: Path, check: Callable[[], object] = lambda: None) -> None:
        self.home, self.check = home, check
        self.folder = home / CellFile.RECORDS

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, name: str, tags: Mapping[str, str], tracking: Tracking, *, nested: bool) -> None:
        """Record that the run begins, or that it continues after an interruption.

        Args:
            name: the name of the run.
            tags: the tags of the run.
            tracking: the store that the run will be delivered to.
            nested: whether the run is a child of the run of the folder above.
        """
        if self.exists:
            self._append("go on", name=name)
            return
        with disk_errors(self.folder):
            make_folder(self.folder)
        where = {"uri": tracking.uri, "experiment": tracking.experiment}
        self._append("begin", token=uuid.uuid4().hex, name=name, tags=dict(tags), nested=nested, **where)

    def params(self, params: Mapping[str, object]) -> None:
        """Record parameters. A parameter that is recorded already keeps its value: a store takes no second value."""
        known = self.known_params()
        if new := {key: str(value) for key, value in params.items() if key not in known}:
            self._append("params", params=new)

    def metrics(self, measurements: Sequence[Measurement]) -> None:
        """Record measurements with their times. A measurement that is recorded twice is one record in the store."""
        if measurements:
            self._append("metrics", metrics=[list(measurement) for measurement in measurements])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Record tags. The last value of a tag counts."""
        self._append("tags", tags=dict(tags))

    def dataset(self, **facts: str) -> None:
        """Record the data set, by the attributes of MLflow's `Dataset` entity and its context."""
        self._append("dataset", **facts)

    @contextmanager
    def files(self, do: str = "files") -> Iterator[Path]:
        """Yield a folder for files, which become the run's artifacts, under the same names, when the block ends."""
        folder = self.folder / str(self.size)  # a unique name, because the journal only grows
        shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed in this block
        folder.mkdir(parents=True)
        yield folder
        self._append(do, folder=folder.name)

    def end(self, status: CellStatus, reason: str | None = None) -> None:
        """Record that the run is over."""
        self._append("end", status=status.run_status, reason=reason)

    def _append(self, do: str, **fields: object) -> None:
        """Append an entry, which is on the disk for good when this returns.

        Raises:
            DiskError: if the disk does not take the entry.
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
        """The size of the journal in bytes, without an incomplete line at the end."""
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
        """The number of entries that are not in the store yet."""
        offset = self.progress.offset
        return len(self.entries(offset)) if offset < self.size else 0

    def entries(self, offset: int = 0) -> list[Entry]:
        """Return the entries from byte `offset` on, without an incomplete line at the end."""
        try:
            with (self.folder / ENTRIES).open("rb") as file:
                file.seek(offset)
                return [json.loads(line) for line in file.read().split(b"\n")[:-1]]
        except FileNotFoundError:
            return []

    def lines(self, offset: int) -> Iterator[tuple[Entry, int]]:
        """Yield the entries from byte `offset` on, each with the offset of its end in bytes."""
        with (self.folder / ENTRIES).open("rb") as file:
            file.seek(offset)
            for line in file:
                if line.endswith(b"\n"):
                    offset += len(line)
                    yield json.loads(line), offset

    def known_params(self) -> dict[str, str]:
        return {key: value for entry in self.entries() for key, value in entry.get("params", {}).items()}

    def known_metrics(self) -> dict[str, float]:
        """Return the latest value of each metric, by name."""
        return {key: value for entry in self.entries() for key, value, *_ in entry.get("metrics", ())}

    def file(self, name: str) -> Path | None:
        """Return the path of an artifact that is still on the disk because it is not in the store yet, else None."""
        for entry in reversed(self.entries()):
            if entry["do"] == "files":
                path = self.entry_dir(entry) / name
                if path.is_file():
                    return path
        return None

    def entry_dir(self, entry: Entry) -> Path:
        """Return the folder of an entry's files, which must be in the journal, because delivery removes it later."""
        name = str(entry["folder"])
        if not name.isdecimal():
            raise ValueError(f"{self.folder / ENTRIES}: {name!r} is no folder of a journal")
        return self.folder / name

    # --- of the delivery ----------------------------------------------------------------------------------------------

    def save_progress(self, progress: Progress) -> None:
        """Save the progress of the delivery."""
        write_text(self.folder / DELIVERED, json.dumps(asdict(progress)))

    def refuse(self, entry: Entry, reason: str) -> None:
        """Write an entry that the store has refused to a separate file."""
        with (self.folder / REFUSED).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**entry, "refused": reason}) + "\n")


def journals(folder: Path) -> Iterator[Journal]:
    """Yield the journals of a sweep and its cells; the sweep's own is first, because it is the parent of the others."""
    for home in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (journal := Journal(home)).exists:
            yield journal


def by_run(sweeps: Path) -> dict[str, Journal]:
    """Return the journals of all cells below `sweeps` whose runs have arrived in the store, by the ids of the runs."""
    found = (Journal(records.parent) for records in sweeps.glob(f"*/*/{CellFile.RECORDS}"))
    return {run_id: journal for journal in found if (run_id := journal.progress.run_id)}


def pending(folder: Path) -> tuple[int, int]:
    """Return how many entries of a sweep and its cells are not in the store yet, and how many runs they belong to."""
    counts = [journal.num_pending for journal in journals(folder)]
    return sum(counts), sum(count > 0 for count in counts)


def _whole(file: BinaryIO) -> int:
    """Return how many bytes of `file` are complete lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
