"""The cells that were finished before, as an estimate needs them."""

from collections.abc import Collection

from mlflow.entities import Run

from image_sweeps.config.schema import Config
from image_sweeps.report.record import ReportError
from image_sweeps.report.records import find_store
from image_sweeps.report.runs import digest
from image_sweeps.sweep.estimate import DATA, TimedCell
from image_sweeps.tracking.store import Store

EPOCH_S = "time/epoch_s"

LATEST = 200
"""Runs that are read: a server takes 10 ms for each; older ones say less of this machine."""


def past_cells(config: Config, fingerprints: Collection[str]) -> list[TimedCell]:
    """The latest finished cells on the data sets with these fingerprints. Where there is no store, none is created."""
    store = existing_store(config)
    if store is None:
        return []
    digests = ", ".join(f"'{fingerprint}'" for fingerprint in sorted(fingerprints))
    wanted = f"tags.kind = 'cell' and attributes.status = 'FINISHED' and dataset.digest IN ({digests})"
    runs = store.client.search_runs([store.experiment_id], wanted, max_results=LATEST)
    return [_past(run) for run in runs if EPOCH_S in run.data.metrics]


def existing_store(config: Config) -> Store | None:
    """The store that `config` names, if it is there."""
    try:
        return find_store(config.outputs_dir, config.tracking.uri, config.tracking.experiment)
    except ReportError:
        return None


def _past(run: Run) -> TimedCell:
    last = next(metric for metric in run.data.to_proto().metrics if metric.key == EPOCH_S)  # which has its time, too
    after_ms = max(0, run.info.end_time - last.timestamp)
    return TimedCell({**run.data.params, DATA: digest(run)}, last.value, after_ms / 1000)
