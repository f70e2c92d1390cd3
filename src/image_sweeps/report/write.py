"""The writing of a report: one page, one file for programs, one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from image_sweeps.cell.folders import SweepFile
from image_sweeps.report.artifacts import RunFiles
from image_sweeps.report.charts import charts
from image_sweeps.report.content import Summary
from image_sweeps.report.design import Design
from image_sweeps.report.export import as_csv, as_json
from image_sweeps.report.page import page
from image_sweeps.report.record import Subject
from image_sweeps.report.records import of_experiment, of_sweep
from image_sweeps.report.summarise import summarise
from image_sweeps.system.files import write_text
from image_sweeps.tracking.journal import Journal, by_run
from image_sweeps.tracking.store import Store


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        folder: the folder of its files `report.html`, `report.json` and `cells.csv`.
        summary: the content of the report.
        charts: the charts as SVG, by name.
    """

    folder: Path
    summary: Summary
    charts: Mapping[str, str]

    @property
    def page(self) -> Path:
        """The path of the page for people."""
        return self.folder / SweepFile.PAGE

    @property
    def files(self) -> list[Path]:
        """The paths of all files that were written."""
        return [self.folder / name for name in (SweepFile.PAGE, SweepFile.DATA, SweepFile.CELLS)]


def write_report(folder: Path, store: Store | None) -> Report:
    """Sum up the sweep in `folder` in its present state, and write the report there.

    Without a store, the report is made from the records in the folder alone.
    """
    return _written(folder, store, *of_sweep(store, folder))


def write_report_of_runs(folder: Path, store: Store, condition: str | None, sweeps: Path) -> Report:
    """Sum up the cells of the store's experiment that match MLflow's filter, and write the report to `folder`.

    Args:
        folder: the folder of the report.
        store: the store of the runs.
        condition: MLflow's filter, or None.
        sweeps: the folder of the sweeps; files of runs recorded there need not be fetched from the store.

    Raises:
        ReportError: if the filter is invalid or matches no run, or if the store does not answer.
    """
    return _written(folder, store, of_experiment(store, condition), by_run(sweeps))


def _written(folder: Path, store: Store | None, subject: Subject, journals: Mapping[str, Journal]) -> Report:
    with TemporaryDirectory() as fetched:
        files = RunFiles(store, journals, Path(fetched))
        histories = files.histories([str(cell.run_id) for cell in subject.cells if cell.finished])
        summary = summarise(subject, Design.of(subject), histories, files)
    report = Report(folder, summary, charts(summary, histories))
    write_text(folder / SweepFile.PAGE, page(summary, report.charts))
    write_text(folder / SweepFile.DATA, as_json(summary))
    write_text(folder / SweepFile.CELLS, as_csv(summary.cells))
    return report
