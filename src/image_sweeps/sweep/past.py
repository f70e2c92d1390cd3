"""The past cells that the estimate of a sweep is based on."""

from collections.abc import Collection
from itertools import islice

from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import Config
from image_sweeps.sweep.estimate import DATA, TimedCell
from image_sweeps.tracking.recorded_runs import RecordedRun, find_runs
from image_sweeps.tracking.store import MissingStoreError, Store, StoreError, find_store

EPOCH_S = "time/epoch_s"

LATEST = 200
"""The largest number of runs to read: a server takes 10 ms for each, and older runs tell less about this machine."""


def past_cells(config: Config, fingerprints: Collection[str]) -> list[TimedCell]:
    """Return the latest finished cells on the data sets with these fingerprints, without creating a missing store."""
    store = existing_store(config)
    if store is None:
        return []
    digests = ", ".join(f"'{fingerprint}'" for fingerprint in sorted(fingerprints))
    wanted = f"tags.kind = 'cell' and attributes.status = 'FINISHED' and dataset.digest IN ({digests})"
    runs = islice(find_runs(store, wanted, page=LATEST), LATEST)
    return [_timed(run) for run in runs if EPOCH_S in run.metrics]


def existing_store(config: Config) -> Store | None:
    """Return the store that `config` names, or None if it does not exist.

    Raises:
        ConfigError: if it cannot be used.
    """
    try:
        return find_store(config.outputs_dir, config.tracking.uri, config.tracking.experiment)
    except MissingStoreError:
        return None
    except StoreError as error:
        raise ConfigError([str(error)]) from None


def _timed(run: RecordedRun) -> TimedCell:
    assert run.end_ms is not None
    after_ms = max(0, run.end_ms - run.recorded_ms[EPOCH_S])
    return TimedCell({**run.params, DATA: run.digest}, run.metrics[EPOCH_S], after_ms / 1000)
