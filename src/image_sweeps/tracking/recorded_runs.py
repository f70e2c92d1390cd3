"""Recorded runs, read from a store, page by page, or from the journal of a run that the store may not have yet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlparse

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from image_sweeps.cell.status import CellStatus
from image_sweeps.tracking.journal import PRUNED, REASON, Journal
from image_sweeps.tracking.store import Store, StoreError, explain_error

PAGE = 1000  # runs per query

INVALID = ErrorCode.Name(INVALID_PARAMETER_VALUE)


class FilterError(ValueError):
    """MLflow does not accept a filter; the message says why."""


@dataclass(frozen=True)
class RecordedRun:
    """The record of a run.

    Attributes:
        id: the id in MLflow; for a run that has not arrived in the store, the token in its journal.
        name: the name of the run.
        status: the status of the run's cell.
        start_ms: when the run began, in milliseconds since 1970.
        end_ms: when the run ended, in milliseconds since 1970; None if it has not ended.
        params: the parameters by name, as text.
        metrics: the latest value of each metric, by name.
        recorded_ms: when the latest value of each metric was measured, in milliseconds since 1970.
        tags: the tags by name.
        digest: the fingerprint of the data set; empty if the run has none.
        num_images: the number of images of each split, by its name; empty if the run has no data set.
    """

    id: str
    name: str
    status: CellStatus
    start_ms: int
    end_ms: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    recorded_ms: Mapping[str, int]
    tags: Mapping[str, str]
    digest: str
    num_images: Mapping[str, int]

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return a run as the store has it."""
        inputs = run.inputs.dataset_inputs if run.inputs else []
        return cls(
            id=str(run.info.run_id),
            name=str(run.info.run_name),
            status=CellStatus.of_run(run.info.status, pruned=PRUNED in run.data.tags),
            start_ms=run.info.start_time,
            end_ms=run.info.end_time,
            params=run.data.params,
            metrics=run.data.metrics,
            recorded_ms={metric.key: metric.timestamp for metric in run.data.to_proto().metrics},
            tags=run.data.tags,
            digest=str(inputs[0].dataset.digest) if inputs else "",
            num_images=_num_images(str(inputs[0].dataset.profile)) if inputs else {},
        )

    @classmethod
    def load(cls, journal: Journal) -> Self | None:
        """Return the run of a journal, as the store would have it with all entries; None if the run never began."""
        entries = journal.entries()
        if not entries:
            return None
        first = entries[0]
        last = next(entry for entry in reversed(entries) if entry["do"] in ("begin", "go on", "end"))
        ended = last["do"] == "end"
        tags = dict(first["tags"])
        params: dict[str, str] = {}
        measured: dict[str, tuple[float, int]] = {}
        for entry in entries:
            tags |= entry["tags"] if entry["do"] == "tags" else {}
            params |= entry["params"] if entry["do"] == "params" else {}
            measured |= {key: (value, ms) for key, value, ms, _ in entry.get("metrics", ())}
        if ended and last["reason"]:
            tags[REASON] = last["reason"]
        data = next((entry for entry in entries if entry["do"] == "dataset"), None)
        run_status = last["status"] if ended else CellStatus.RUNNING.run_status
        return cls(
            id=journal.progress.run_id or first["token"],
            name=first["name"],
            status=CellStatus.of_run(run_status, pruned=PRUNED in tags),
            start_ms=first["at_ms"],
            end_ms=last["at_ms"] if ended else None,
            params=params,
            metrics={key: value for key, (value, _) in measured.items()},
            recorded_ms={key: ms for key, (_, ms) in measured.items()},
            tags=tags,
            digest=data["digest"] if data else "",
            num_images=_num_images(data["profile"]) if data else {},
        )


def _num_images(profile: str) -> dict[str, int]:
    """Return the sizes of the splits from the profile of the data set that `image_sweeps.tracking.cell_run` writes."""
    sizes = json.loads(profile)
    return {split: int(sizes[split]) for split in ("train", "val", "test") if split in sizes}


def find_runs(
    store: Store, condition: str, experiments: Sequence[str] | None = None, page: int = PAGE
) -> Iterator[RecordedRun]:
    """Yield all runs that match MLflow's filter `condition`, the latest first.

    Args:
        store: the store to search.
        condition: the filter.
        experiments: the ids of the experiments to search; None for the experiment of `store`.
        page: the number of runs per query.

    Raises:
        FilterError: if MLflow does not accept `condition`.
        StoreError: if the store does not answer.
    """
    where, token = list(experiments or [store.experiment_id]), None
    while True:
        try:
            found = store.client.search_runs(where, condition, max_results=page, page_token=token)
        except MlflowException as error:
            if error.error_code == INVALID:
                raise FilterError(error.message) from None
            raise StoreError(explain_error(error, store.uri)) from None
        yield from map(RecordedRun.of, found)
        if not (token := found.token):
            return


def stored_file(store: Store, run_id: str, name: str, folder: Path) -> Path | None:
    """Return the path of a run's artifact `name`, in its place or downloaded to `folder`; None if it is unavailable."""
    with suppress(MlflowException, OSError):
        place = urlparse(str(store.client.get_run(run_id).info.artifact_uri))
        if place.scheme in ("", "file"):
            path = Path(unquote(place.path)) / name
            return path if path.is_file() else None
        fetched = folder / run_id
        fetched.mkdir(exist_ok=True)
        return Path(store.client.download_artifacts(run_id, name, str(fetched)))
    return None
