"""The record of one cell of a report, made from its run and, for a planned cell, from its result."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from image_sweeps.cell import commands
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedCell
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, flattened
from image_sweeps.report.record import MEASURE, Record
from image_sweeps.tracking.journal import REASON
from image_sweeps.tracking.recorded_runs import RecordedRun


def record_of_planned_cell(
    cell: SavedCell, factors: Iterable[str], result: Result | None, run: RecordedRun | None
) -> Record:
    """Return the record of a planned cell from its result and its run, if it has these."""
    status = CellStatus.NEW
    reason = None
    if result:
        status, reason = result.status, result.reason
    elif run:
        status, reason = run.status, run.tags.get(REASON)
    if status is CellStatus.FINISHED and (run is None or MEASURE not in run.metrics):
        status, reason = CellStatus.LOST, f"its run {result.run_id if result else ''} is not in the store any more"
    return Record(
        id=cell.id,
        name=cell.name,
        levels={key: cell.levels.get(key) or _at(cell.raw, cell.choices, key) for key in factors},
        status=status,
        reason=reason,
        run_id=run.id if run else None,
        command=commands.of_cell(cell.overrides),
        choices=cell.choices,
        fingerprint=cell.fingerprint,
        params=run.params if run else {},
        metrics=run.metrics if run else {},
        num_images=run.num_images if run else {},
    )


def record_of_run(run: RecordedRun, levels: Mapping[str, str]) -> Record:
    """Return the record of a cell that is known only by its run."""
    params = run.params
    choices = {group: params[group] for group in GROUPS if group in params}
    return Record(
        id=run.tags["cell"],
        name=" ".join(f"{key}={value}" for key, value in levels.items()) or run.name,
        levels=levels,
        status=run.status,
        reason=run.tags.get(REASON),
        run_id=run.id,
        command=commands.of_params(params, _defaults(tuple(choices.items()))),
        choices=choices,
        fingerprint=run.digest,
        params=params,
        metrics=run.metrics,
        num_images=run.num_images,
    )


def _at(raw: Mapping[str, Any], choices: Mapping[str, str], key: str) -> str:
    """Return the value that the configuration of the cell has for a key that only other arms of the sweep mention."""
    value: Any = choices.get(key, raw)
    for step in () if key in choices else key.lstrip("+~").split("."):
        value = value.get(step, "") if isinstance(value, Mapping) else ""
    return str(value)


@lru_cache
def _defaults(choices: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the parameters of a cell with only these choices, or nothing if `conf/` no longer has the choices."""
    try:
        with hydra_at():
            made = composed([f"{group}={choice}" for group, choice in choices])
            return {key: str(value) for key, value in flattened(made.raw).items()}
    except ConfigError:
        return {}
