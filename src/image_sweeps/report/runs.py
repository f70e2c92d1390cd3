"""One cell of a report: from its run, and its folder where it is a planned one, to its record."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from mlflow.entities import Run

from image_sweeps.cell import commands
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedCell
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, flattened
from image_sweeps.report.record import MEASURE, Record, Status
from image_sweeps.tracking.journal import PRUNED

ENDED: Mapping[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}


def planned(cell: SavedCell, factors: Iterable[str], result: Result | None, run: Run | None) -> Record:
    """A cell of a plan, with what it left in its folder and in the store."""
    status: Status = "not run"
    reason = None
    if result:
        status, reason = result.status, result.reason
    elif run:
        status, reason = _status(run), run.data.tags.get("reason")
    if status == "finished" and (run is None or MEASURE not in run.data.metrics):
        status, reason = "lost", f"its run {result.run_id if result else ''} is not in the store any more"
    return Record(
        id=cell.id,
        name=cell.name,
        levels={key: cell.levels.get(key) or _at(cell.raw, cell.choices, key) for key in factors},
        status=status,
        reason=reason,
        run_id=run.info.run_id if run else None,
        command=commands.of_cell(cell.overrides),
        choices=cell.choices,
        fingerprint=cell.fingerprint,
        params=run.data.params if run else {},
        metrics=run.data.metrics if run else {},
        num_images=_num_images(run) if run else {},
    )


def found(run: Run, levels: Mapping[str, str]) -> Record:
    """A cell that nothing but its run is known of."""
    params = run.data.params
    choices = {group: params[group] for group in GROUPS if group in params}
    return Record(
        id=run.data.tags["cell"],
        name=" ".join(f"{key}={value}" for key, value in levels.items()) or run.info.run_name,
        levels=levels,
        status=_status(run),
        reason=run.data.tags.get("reason"),
        run_id=run.info.run_id,
        command=commands.of_params(params, _defaults(tuple(choices.items()))),
        choices=choices,
        fingerprint=digest(run),
        params=params,
        metrics=run.data.metrics,
        num_images=_num_images(run),
    )


def _status(run: Run) -> Status:
    """How a run ended, as far as the store knows."""
    return "pruned" if PRUNED in run.data.tags else ENDED.get(run.info.status, "running")


def _at(raw: Mapping[str, Any], choices: Mapping[str, str], key: str) -> str:
    """The value of a key that the cell's own arm does not mention, as another arm of the sweep does."""
    value: Any = choices.get(key, raw)
    for step in () if key in choices else key.lstrip("+~").split("."):
        value = value.get(step, "") if isinstance(value, Mapping) else ""
    return str(value)


def _num_images(run: Run) -> dict[str, int]:
    """Of the splits, as `image_sweeps.tracking.run` logs them."""
    for logged in run.inputs.dataset_inputs if run.inputs else []:
        profile = json.loads(str(logged.dataset.profile))
        return {split: int(profile[split]) for split in ("train", "val", "test")}
    return {}


def digest(run: Run) -> str:
    """The fingerprint of the data set that the run was trained on."""
    return next((str(logged.dataset.digest) for logged in (run.inputs.dataset_inputs if run.inputs else [])), "")


@lru_cache
def _defaults(choices: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The parameters of a cell with these choices and nothing else; none where `conf/` does not have them any more."""
    try:
        with hydra_at():
            made = composed([f"{group}={choice}" for group, choice in choices])
            return {key: str(value) for key, value in flattened(made.raw).items()}
    except ConfigError:
        return {}
