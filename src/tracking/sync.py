"""Records that are on the disk and not in the store: whether there are any, and how they come there."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from src import terminal
from src.config import Config
from src.problems import ConfigError
from src.sweep.frozen import PLAN_FILE
from src.tracking.delivery import AwayError, deliver, deliver_all
from src.tracking.journal import Journal, journals, pending
from src.tracking.store import Store, StoreError, open_store, settle, store_at

HINT = "\ntracking.offline=true trains without it; `python -m src.tracking sync` then brings the records there later"


def reach(config: Config) -> Store | None:
    """The store, opened before anything is trained; None where records are to stay here for now.

    Raises:
        ConfigError: where it cannot be opened. It may go away later: that is no error.
    """
    if config.tracking.offline:
        return None
    try:
        return open_store(config)
    except StoreError as error:
        raise ConfigError([f"{error}{HINT if config.tracking.uri else ''}"]) from None


def show_kept(folder: Path, config: Config) -> bool:
    """Say how many records of a sweep, or of a single run, are kept in its folder. Returns whether there are any."""
    num_records, num_runs = pending(folder)
    if num_records:
        terminal.show_kept(num_records, num_runs, command(config))
    return num_records > 0


def command(config: Config) -> str:
    """What brings records to the store."""
    return f"python -m src.tracking sync {shlex.quote(f'outputs_dir={config.outputs_dir}')}"


def sync(outputs_dir: Path, uri: str | None) -> bool:
    """Bring all that is kept under `outputs_dir` to its store, and write the reports of these sweeps again.

    Args:
        outputs_dir: of the runs.
        uri: of the server, where it is another than the one that the runs were to go to.

    Returns: whether everything is there now. What is not has been said.
    """
    brought, complaints, left = 0, dict[str, None](), 0
    for folder in _kept(outputs_dir):
        before = pending(folder)[0]
        try:
            _bring(folder, _store_of(folder, outputs_dir, uri))
        except (AwayError, StoreError) as error:
            complaints[str(error)] = None
        left_here = pending(folder)[0]
        brought, left = brought + before - left_here, left + left_here
    terminal.show_synced(brought, left, list(complaints))
    return left == 0


def _kept(outputs_dir: Path) -> Iterator[Path]:
    """The folders of sweeps and single runs that have something to bring."""
    for kind in ("runs", "sweeps"):
        for folder in sorted((outputs_dir / kind).glob("*/")):
            if pending(folder)[0]:
                yield folder


def _store_of(folder: Path, outputs_dir: Path, uri: str | None) -> Store:
    """Where the records in `folder` belong."""
    begin = next(journals(folder)).entries()[0]
    return store_at(outputs_dir, uri or begin["uri"], begin["experiment"])


def _bring(folder: Path, store: Store) -> None:
    """Bring what is there; then the report of a sweep, which had to do without the store, is written again."""
    deliver_all(folder, store)
    sweep = Journal(folder)
    if sweep.exists and not sweep.open and (folder / PLAN_FILE).exists():
        from src.report import write_report
        from src.tracking.publish import publish

        publish(sweep, write_report(folder, store))
        deliver(sweep, store)
    settle(store)
