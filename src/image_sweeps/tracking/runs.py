"""Runs that were recorded: in a store, page by page, or in the journal of one that the store may not have yet."""

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

PAGE = 1000  # runs a query

INVALID = ErrorCode.Name(INVALID_PARAMETER_VALUE)


class FilterError(ValueError):
    """MLflow does not accept a filter; the message says why."""


@dataclass(frozen=True)
class RecordedRun:
    """What is known of a run.

    Attributes:
        id: MLflow's; of a run that has not arrived in the store, the token in its journal.
        name: of the run.
        status: what has become of its cell.
        start_ms: when it began, in milliseconds since 1970.
        end_ms: when it ended; None of one that has not.
        params: by name, as text.
        metrics: the latest value of each.
        recorded_ms: when that was measured.
        tags: by name.
        digest: the fingerprint of its data set; empty where it has none.
        num_images: of the splits, by their names; empty where it has no data set.
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
        """The run that a store has."""
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
        """The run that a journal tells of, as the store would have it with all entries; None where it never began."""
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
    """The sizes of the splits, from the profile of the data set, as `image_sweeps.tracking.run` writes it."""
    sizes = json.loads(profile)
    return {split: int(sizes[split]) for split in ("train", "val", "test")}


def find_runs(
    store: Store, condition: str, experiments: Sequence[str] | None = None, page: int = PAGE
) -> Iterator[RecordedRun]:
    """Yield all runs that meet MLflow's filter `condition`, the latest first.

    Args:
        store: that is asked.
        condition: the filter.
        experiments: the ids of those that are looked through; None for the store's own.
        page: how many runs are asked for at a time.

    Raises:
        FilterError: where `condition` is no filter.
        StoreError: where the store does not answer.
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
    """The artifact `name` of a run, where it lies, or fetched to `folder`; None where it cannot be had."""
    with suppress(MlflowException, OSError):
        place = urlparse(str(store.client.get_run(run_id).info.artifact_uri))
        if place.scheme in ("", "file"):
            path = Path(unquote(place.path)) / name
            return path if path.is_file() else None
        fetched = folder / run_id
        fetched.mkdir(exist_ok=True)
        return Path(store.client.download_artifacts(run_id, name, str(fetched)))
    return None
