"""All that writes into the folders of sweeps, as the tests of faults see it: what is old, what is new, what broken."""

import csv
import json
import re
import shutil
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedCell, SavedPlan
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.dataset.cache import rows
from image_sweeps.fit import checkpoint
from image_sweeps.fit.checkpoint import TrainingHistory
from image_sweeps.fit.early_stopping import BestEpoch
from image_sweeps.report.write import write_report
from image_sweeps.system.files import write_text
from image_sweeps.tracking.journal import Journal
from tests.support.configurations import config_of
from tests.support.synthetic_images import made
from tests.support.training import training
from tests.support.untrained_sweeps import sweep_of

SETTINGS = ("dataset.image_size=8", "model=cnn", "optimizer=adam")


class Writer(ABC):
    """Writes versions 1 and 2 of something into a folder.

    Attributes:
        files: what there is then, by name.
    """

    files: tuple[str, ...]

    def prepare(self, folder, version):  # noqa: B027, most need nothing
        """Put in place what `write` reads."""

    @abstractmethod
    def write(self, folder, version):
        """Write this version, over whatever is there."""

    @abstractmethod
    def read(self, folder):
        """The version that is there, or None. Anything between two versions raises."""


class Text(Writer):
    files = ("a.txt",)

    def write(self, folder, version):
        write_text(folder / "a.txt", str(version) * 100_000)

    def read(self, folder):
        path = folder / "a.txt"
        text = path.read_text() if path.exists() else None
        assert text is None or text in ("1" * 100_000, "2" * 100_000)
        return text and int(text[0])


class Plan(Writer):
    files = ("plan.json",)

    def write(self, folder, version):
        cells = [SavedCell(f"{n:012}", "model=cnn", {}, [], {}, "0123", {"seed": n}) for n in range(100)]
        SavedPlan("a sweep", "the command", "now", {}, {}, {}, {"version": [str(version)]}, cells).save(folder)

    def read(self, folder):
        if not (folder / "plan.json").exists():
            return None
        plan = SavedPlan.load(folder)
        assert len(plan.cells) == 100
        return int(plan.factors["version"][0])


class ACell(Writer):
    files = ("cell.json",)

    @cached_property
    def cell(self):
        with hydra_at():
            return Cell.of(composed(SETTINGS), SETTINGS, "0123456789abcdef")

    def write(self, folder, version):
        replace(self.cell, name=str(version)).save(folder)

    def read(self, folder):
        cell = Cell.load(folder)
        assert cell is None or replace(cell, name="") == replace(self.cell, name="")
        return cell and int(cell.name)


class Outcome(Writer):
    files = ("result.json",)

    def write(self, folder, version):
        Result("0123456789ab", "model=cnn", CellStatus.FINISHED, "a reason" * 1000, best_epoch=version).save(folder)

    def read(self, folder):
        result = Result.load(folder)
        assert result is None or result.reason == "a reason" * 1000
        return result and result.best_epoch


class LastCheckpoint(Writer):
    """Version n is the checkpoint after n epochs."""

    files = ("last.pt",)

    @cached_property
    def subject(self):
        subject = training(*SETTINGS, "epochs=2")
        past = TrainingHistory(BestEpoch(subject.config.early_stopping))
        for epoch in subject.epochs():
            past.add(epoch, subject.model)
        return subject, past

    def write(self, folder, version):
        subject, past = self.subject
        subject.num_done = version
        checkpoint.save_last(folder / "last.pt", subject, replace(past, epochs=past.epochs[:version]))

    def read(self, folder):
        subject, past = self.subject
        found = checkpoint.restore(folder / "last.pt", subject)
        if not found.epochs:
            return None
        assert found.epochs == past.epochs[: subject.num_done]
        assert all(torch.equal(found.weights[name], tensor) for name, tensor in past.weights.items())
        return subject.num_done


class Report(Writer):
    """A sweep's report. Its version is that of the oldest of its files; the sweep's cells tell what it says."""

    files = ("report.html", "report.json", "cells.csv")

    @cached_property
    def sweeps(self):
        """By version, the folder and store of a sweep whose cells have different accuracies."""
        self.place = TemporaryDirectory()
        factors = {"model": ["cnn", "cnn_batch"]}
        return {
            version: sweep_of(Path(self.place.name) / str(version), factors, lambda levels: ACCURACIES[version])  # noqa: B023, it is called at once
            for version in ACCURACIES
        }

    def prepare(self, folder, version):
        shutil.copytree(self.sweeps[version][0], folder, dirs_exist_ok=True)

    def write(self, folder, version):
        write_report(folder, self.sweeps[version][1])

    def read(self, folder):
        read = {"report.html": self.page, "report.json": self.data, "cells.csv": self.table}
        found = [read[name](folder / name) for name in self.files if (folder / name).exists()]
        return min(found) if len(found) == len(read) else None

    def page(self, path):
        text = path.read_text()
        assert text.endswith("</html>")
        return version_of(re.search(r"its test accuracy is ([\d.]+)%", text)[1], percent=True)

    def data(self, path):
        first, second = json.loads(path.read_text())["cells"]
        assert first["test_accuracy"] == second["test_accuracy"]
        return version_of(first["test_accuracy"])

    def table(self, path):
        with path.open(newline="") as file:
            first, second = csv.DictReader(file)
        assert first["test_accuracy"] == second["test_accuracy"]
        return version_of(first["test_accuracy"])


ACCURACIES = {1: 0.5, 2: 0.9}


def version_of(accuracy, *, percent=False):
    return {value: version for version, value in ACCURACIES.items()}[float(accuracy) / (100 if percent else 1)]


class Records(Writer):
    """The journal of a run. Version n has n measurements; nothing in it is ever written twice."""

    files = ("records",)

    def write(self, folder, version):
        journal = Journal(folder)
        if not journal.exists:
            journal.begin("model=cnn", {}, config_of().tracking, nested=False)
        for number in range((self.read(folder) or 0) + 1, version + 1):
            journal.metrics([("val/loss", 0.5, 0, number)])

    def read(self, folder):
        entries = Journal(folder).entries()
        assert [entry["do"] for entry in entries] == ["begin", "metrics", "metrics"][: len(entries)]
        assert [entry["metrics"][0][3] for entry in entries[1:]] == [1, 2][: len(entries[1:])]
        return len(entries[1:]) or None


class Cache(Writer):
    """Decoded images. Version 1 is damaged; where there is no version 2, reading makes it and says that it did."""

    files = ("made-0123456789abcdef-3x4-1.npy", "made-0123456789abcdef-3x4-1.json", "made-0123456789abcdef-3x4-1.lock")

    def write(self, folder, version):
        rows(made(None), NUM_IMAGES, folder)
        if version == 1:
            array = folder / self.files[0]
            array.write_bytes(array.read_bytes()[:-100])

    def read(self, folder):
        source = made(None)
        found = rows(source, NUM_IMAGES, folder)
        np.testing.assert_array_equal(found.images, np.stack([source.pixels(p) for p in range(NUM_IMAGES)]))
        return None if source.decodings else 2


NUM_IMAGES = 40

WRITERS = {writer.__name__: writer() for writer in (Text, Plan, ACell, Outcome, LastCheckpoint, Records, Report, Cache)}

ONE_OF_EACH_KIND = ("Text", "LastCheckpoint", "Records", "Cache")
"""Those that differ in how they write: a text is put in place whole, and plans, cells, outcomes and reports are such
texts; torch writes a checkpoint, piece by piece; a journal grows; a cache is two files under a lock."""
