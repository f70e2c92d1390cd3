"""The publication of a report with the sweep's own run."""

import shutil
import time
from pathlib import Path

from image_sweeps.report.charts import standalone
from image_sweeps.report.description import description
from image_sweeps.report.record import CHOSEN_BY, MEASURE
from image_sweeps.report.write import Report, write_report
from image_sweeps.tracking.delivery import deliver
from image_sweeps.tracking.journal import NOTE, Journal
from image_sweeps.tracking.store import Store, checkpoint_wal


def publish(journal: Journal, report: Report) -> None:
    """Keep the report with the sweep's own run: its files, its charts, the best values as metrics, the description.

    Publishing again replaces files and description. A metric is recorded again only if its value has changed: its step
    is 0 as before, and its later time makes it the value that counts.
    """
    with journal.files() as folder:
        for path in report.files:
            shutil.copyfile(path, folder / path.name)
        (folder / "figures").mkdir()
        for name, svg in report.charts.items():
            (folder / "figures" / f"{name}.svg").write_text(standalone(svg), encoding="utf-8")
    journal.tags({NOTE: description(report.summary)})
    if best := next((c for c in report.summary.configurations if c.chosen), None):
        known = journal.known_metrics()
        values = {CHOSEN_BY: best.val_accuracy.mean, MEASURE: best.test_accuracy.mean}
        now = int(time.time() * 1000)
        journal.metrics([(key, value, now, 0) for key, value in values.items() if known.get(key) != value])


def write_and_publish(folder: Path, store: Store) -> Report:
    """Write and return the report of the sweep in `folder`; if the sweep has a run, keep the report there too."""
    report, journal = write_report(folder, store), Journal(folder)
    if journal.exists:
        publish(journal, report)
        deliver(journal, store)
        checkpoint_wal(store)
    return report
