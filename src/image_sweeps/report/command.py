"""The report that the arguments of the command ask for."""

from collections.abc import Mapping
from pathlib import Path

from hydra import compose

from image_sweeps.cell.saved_plan import SavedPlan, sweeps_dir, sweeps_in
from image_sweeps.config.composition import hydra_at, unique_id
from image_sweeps.config.problems import near
from image_sweeps.report.publish import write_and_publish
from image_sweeps.report.record import ReportError
from image_sweeps.report.write import Report, write_report_of_runs
from image_sweeps.tracking.store import Store, StoreError, find_store


def report_on(given: Mapping[str, str]) -> Report:
    """Write and return the requested report; the report of a sweep is also kept with its run.

    Args:
        given: the arguments of the command, by key; either `sweep`, or `experiment`, `filter` or both.

    Raises:
        ReportError: if there is nothing to report on.
    """
    with hydra_at():
        defaults = compose("config")
    outputs_dir = Path(given.get("outputs_dir", defaults.outputs_dir))
    if "sweep" not in given:
        uri, experiment = given.get("tracking.uri", defaults.tracking.uri), defaults.tracking.experiment
        store = _store(outputs_dir, uri, given.get("experiment", experiment))
        folder = outputs_dir / "reports" / unique_id()
        return write_report_of_runs(folder, store, given.get("filter"), sweeps_dir(outputs_dir))
    folder = _folder(outputs_dir, given["sweep"])
    tracking = SavedPlan.load(folder).cells[0].raw["tracking"]
    store = _store(outputs_dir, given.get("tracking.uri", tracking["uri"]), tracking["experiment"])
    return write_and_publish(folder, store)


def _store(outputs_dir: Path, uri: str | None, experiment: str) -> Store:
    try:
        return find_store(outputs_dir, uri, experiment)
    except StoreError as error:
        raise ReportError(str(error)) from None


def _folder(outputs_dir: Path, name: str) -> Path:
    """Return the folder of the sweep `name`; `last` is the sweep that was begun last."""
    folder, known = sweeps_dir(outputs_dir), sweeps_in(outputs_dir)
    if not known:
        raise ReportError(f"sweep = {name!r}: there are no sweeps in {folder}; outputs_dir=... names another place")
    if name != "last" and name not in known:
        latest = ", ".join(reversed(known[-3:]))
        raise ReportError(f"sweep = {name!r}: there is none in {folder}.{near(name, known)} The latest are {latest}")
    return folder / (known[-1] if name == "last" else name)
