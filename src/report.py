"""Sum a sweep up: one page, one file for programs, one table.

    python -m src.report sweep=last
    python -m src.report sweep=20260131-120000-1a2b3c4d outputs_dir=elsewhere
    python -m src.report experiment=image-classification filter="params.dataset = 'digits'"

A sweep writes its report by itself when it ends, however it ends; this writes it again, also while the sweep runs.
Exit codes: 0 it is written; 2 there is nothing to write it about.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from src import leaving
from src.credentials import hide_credentials
from src.files import write_text
from src.key_values import UsageError, key_values

if TYPE_CHECKING:
    from src.summary.content import Summary
    from src.summary.record import Subject
    from src.tracking.journal import Journal
    from src.tracking.store import Store

PAGE, DATA, CELLS = "report.html", "report.json", "cells.csv"


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        folder: where its files are: `report.html`, `report.json` and `cells.csv`.
        summary: what it says.
        charts: as SVG, by name.
    """

    folder: Path
    summary: "Summary"
    charts: Mapping[str, str]

    @property
    def page(self) -> Path:
        """What a person reads."""
        return self.folder / PAGE

    @property
    def files(self) -> list[Path]:
        """What was written."""
        return [self.folder / name for name in (PAGE, DATA, CELLS)]


def write_report(folder: Path, store: "Store | None") -> Report:
    """Sum up the sweep in `folder`, as far as it has come, and write the report there.

    Without a store to ask, what the folder has of the records has to do.
    """
    from src.tracking.records import of_sweep

    return _written(folder, store, *of_sweep(store, folder))


def write_report_of_runs(folder: Path, store: "Store", condition: str | None, sweeps: Path) -> Report:
    """Sum up the cells of the store's experiment that MLflow's filter lets through, and write the report to `folder`.

    Args:
        folder: of the report.
        store: where the runs are.
        condition: MLflow's filter, or None.
        sweeps: where sweeps have their folders: what was run there need not be fetched from the store.

    Raises:
        ReportError: where the filter is none, or lets nothing through.
    """
    from src.tracking.journal import by_run
    from src.tracking.records import of_experiment

    return _written(folder, store, of_experiment(store, condition), by_run(sweeps))


def _written(folder: Path, store: "Store | None", subject: "Subject", journals: "Mapping[str, Journal]") -> Report:
    from src.summary.charts import charts
    from src.summary.data import as_csv, as_json
    from src.summary.design import Design
    from src.summary.page import page
    from src.summary.summarise import summarise
    from src.tracking.artifacts import RunFiles

    with TemporaryDirectory() as fetched:
        files = RunFiles(store, journals, Path(fetched))
        histories = files.histories([str(cell.run_id) for cell in subject.cells if cell.finished])
        summary = summarise(subject, Design.of(subject), histories, files)
    report = Report(folder, summary, charts(summary, histories))
    write_text(folder / PAGE, page(summary, report.charts))
    write_text(folder / DATA, as_json(summary))
    write_text(folder / CELLS, as_csv(summary.cells))
    return report


# --- the command line -------------------------------------------------------------------------------------------------

KEYS = ("sweep", "experiment", "filter", "outputs_dir", "tracking.uri")

USAGE = "give sweep=last, sweep=<id>, or experiment=<name> with or without filter=<MLflow's filter>"


def main() -> None:
    """The command line."""
    from src import terminal
    from src.command_line import WRONG_CONFIGURATION
    from src.summary.record import ReportError

    hide_credentials()
    try:
        report = _asked(_parsed(sys.argv[1:]))
    except (ReportError, UsageError) as error:
        terminal.show_error(str(error))
        sys.exit(WRONG_CONFIGURATION)
    terminal.show_answer(report.summary.answer, report.page)


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    given = key_values(arguments, KEYS, USAGE)
    if ("sweep" in given) == bool({"experiment", "filter"} & given.keys()):
        raise UsageError(USAGE)
    return given


def _asked(given: Mapping[str, str]) -> Report:
    """The report on what was asked for; a sweep's is kept with its run too."""
    from hydra import compose

    from src.compose import hydra_at, unique_id
    from src.sweep.frozen import FrozenPlan, folder_of
    from src.tracking.delivery import deliver
    from src.tracking.journal import Journal
    from src.tracking.publish import publish
    from src.tracking.records import find_store
    from src.tracking.store import settle

    with hydra_at():
        defaults = compose("config")
    outputs_dir = Path(given.get("outputs_dir", defaults.outputs_dir))
    if "sweep" not in given:
        uri, experiment = given.get("tracking.uri", defaults.tracking.uri), defaults.tracking.experiment
        store = find_store(outputs_dir, uri, given.get("experiment", experiment))
        folder = outputs_dir / "reports" / unique_id()
        return write_report_of_runs(folder, store, given.get("filter"), folder_of(outputs_dir))
    sweep = _found(outputs_dir, given["sweep"])
    folder = folder_of(outputs_dir) / sweep
    tracking = FrozenPlan.load(folder).cells[0].raw["tracking"]
    store = find_store(outputs_dir, given.get("tracking.uri", tracking["uri"]), tracking["experiment"])
    report = write_report(folder, store)
    journal = Journal(folder)
    if journal.exists:
        publish(journal, report)
        deliver(journal, store)
        settle(store)
    return report


def _found(outputs_dir: Path, name: str) -> str:
    """The id of a sweep; `last` is the one that was begun last.

    Raises:
        ReportError: where there is none.
    """
    from src.problems import near
    from src.summary.record import ReportError
    from src.sweep.frozen import PLAN_FILE, folder_of

    folder = folder_of(outputs_dir)
    known = sorted(path.parent.name for path in folder.glob(f"*/{PLAN_FILE}"))
    if not known:
        raise ReportError(f"sweep = {name!r}: there are no sweeps in {folder}; outputs_dir=... names another place")
    if name != "last" and name not in known:
        latest = ", ".join(reversed(known[-3:]))
        raise ReportError(f"sweep = {name!r}: there is none in {folder}.{near(name, known)} The latest are {latest}")
    return known[-1] if name == "last" else name


if __name__ == "__main__":
    leaving.run(main)
