"""The command that sums up a sweep: one page, one file for programs, one table.

    python -m src.report sweep=last
    python -m src.report sweep=20260131-120000-1a2b3c4d outputs_dir=elsewhere
    python -m src.report experiment=image-classification filter="params.dataset = 'digits'"

A sweep writes its report itself when it ends, however it ends; this command writes it again, also while the sweep
runs. Exit codes: 0 if the report is written; 2 if the arguments are wrong or there is nothing to report on.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from image_sweeps.config.key_values import UsageError, key_values
from image_sweeps.report.write import Report, write_report, write_report_of_runs
from image_sweeps.system import process_exit
from image_sweeps.system.credentials import hide_credentials

if TYPE_CHECKING:
    from image_sweeps.tracking.store import Store


KEYS = ("sweep", "experiment", "filter", "outputs_dir", "tracking.uri")


USAGE = "give sweep=last, sweep=<id>, or experiment=<name> with or without filter=<MLflow's filter>"


def main() -> None:
    """Run the command line."""
    from image_sweeps.config.problems import WRONG_CONFIGURATION
    from image_sweeps.report.record import ReportError
    from image_sweeps.report.write import show_answer
    from image_sweeps.system.console import show_error

    hide_credentials()
    try:
        report = _asked(_parsed(sys.argv[1:]))
    except (ReportError, UsageError) as error:
        show_error(str(error))
        sys.exit(WRONG_CONFIGURATION)
    show_answer(report.summary.answer, report.page)


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    given = key_values(arguments, KEYS, USAGE)
    if ("sweep" in given) == bool({"experiment", "filter"} & given.keys()):
        raise UsageError(USAGE)
    return given


def _asked(given: Mapping[str, str]) -> Report:
    """Write and return the requested report; the report of a sweep is also kept with its run."""
    from hydra import compose

    from image_sweeps.cell.saved_plan import SavedPlan, folder_of
    from image_sweeps.config.composition import hydra_at, unique_id
    from image_sweeps.report.publish import publish
    from image_sweeps.tracking.delivery import deliver
    from image_sweeps.tracking.journal import Journal
    from image_sweeps.tracking.store import checkpoint_wal

    with hydra_at():
        defaults = compose("config")
    outputs_dir = Path(given.get("outputs_dir", defaults.outputs_dir))
    if "sweep" not in given:
        uri, experiment = given.get("tracking.uri", defaults.tracking.uri), defaults.tracking.experiment
        store = _store(outputs_dir, uri, given.get("experiment", experiment))
        folder = outputs_dir / "reports" / unique_id()
        return write_report_of_runs(folder, store, given.get("filter"), folder_of(outputs_dir))
    sweep = _found(outputs_dir, given["sweep"])
    folder = folder_of(outputs_dir) / sweep
    tracking = SavedPlan.load(folder).cells[0].raw["tracking"]
    store = _store(outputs_dir, given.get("tracking.uri", tracking["uri"]), tracking["experiment"])
    report = write_report(folder, store)
    journal = Journal(folder)
    if journal.exists:
        publish(journal, report)
        deliver(journal, store)
        checkpoint_wal(store)
    return report


def _store(outputs_dir: Path, uri: str | None, experiment: str) -> "Store":
    """Return the existing store.

    Raises:
        ReportError: if there is no store.
    """
    from image_sweeps.report.record import ReportError
    from image_sweeps.tracking.store import StoreError, find_store

    try:
        return find_store(outputs_dir, uri, experiment)
    except StoreError as error:
        raise ReportError(str(error)) from None


def _found(outputs_dir: Path, name: str) -> str:
    """Return the id of the sweep `name`; `last` is the sweep that was begun last.

    Raises:
        ReportError: if there is no such sweep.
    """
    from image_sweeps.cell.saved_plan import folder_of, sweeps_in
    from image_sweeps.config.problems import near
    from image_sweeps.report.record import ReportError

    folder = folder_of(outputs_dir)
    known = sweeps_in(outputs_dir)
    if not known:
        raise ReportError(f"sweep = {name!r}: there are no sweeps in {folder}; outputs_dir=... names another place")
    if name != "last" and name not in known:
        latest = ", ".join(reversed(known[-3:]))
        raise ReportError(f"sweep = {name!r}: there is none in {folder}.{near(name, known)} The latest are {latest}")
    return known[-1] if name == "last" else name


if __name__ == "__main__":
    process_exit.run(main)
