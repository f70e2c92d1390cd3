"""Bring records to the store that were kept on the disk, because it was away or because of tracking.offline=true.

    image-sweeps sync
    image-sweeps sync outputs_dir=elsewhere tracking.uri=http://127.0.0.1:5000

A running process delivers its own records. Exit codes: 0 if the store has everything; 1 if something is left, with the
reason; 2 if the command was wrong.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from image_sweeps.cell.folders import SweepFile
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.key_values import UsageError, key_values, show_help
from image_sweeps.config.problems import WRONG_CONFIGURATION
from image_sweeps.report.publish import write_and_publish
from image_sweeps.system import process_exit
from image_sweeps.system.console import CONSOLE, show_error
from image_sweeps.system.credentials import hide_credentials
from image_sweeps.tracking.delivery import StoreUnavailableError, deliver_all
from image_sweeps.tracking.journal import Journal, journals, pending
from image_sweeps.tracking.store import Store, StoreError, checkpoint_wal, store_at

KEYS = ("outputs_dir", "tracking.uri")

USAGE = "sync takes [outputs_dir=...] [tracking.uri=...]"


def main() -> None:
    """Run the command line."""
    hide_credentials()
    arguments = sys.argv[1:]
    if show_help(arguments, "sync", f"{__doc__}"):
        return
    try:
        given = _parsed(arguments)
    except UsageError as error:
        show_error(str(error))
        sys.exit(WRONG_CONFIGURATION)
    with hydra_at():
        outputs_dir = Path(given.get("outputs_dir") or composed([]).config.outputs_dir)
    sys.exit(0 if sync(outputs_dir, given.get("tracking.uri")) else 1)


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    given = key_values(arguments, KEYS, USAGE)
    if "outputs_dir" in given and not Path(given["outputs_dir"]).is_dir():
        raise UsageError(f"outputs_dir = {given['outputs_dir']!r}: there is no such folder")
    return given


def sync(outputs_dir: Path, uri: str | None) -> bool:
    """Deliver all records kept under `outputs_dir` to their store, and write the reports of these sweeps again.

    Args:
        outputs_dir: the folder that contains the runs and sweeps.
        uri: the tracking URI to use instead of the configured one of each run; None for the configured one.

    Returns: whether all records have been delivered. The remaining ones have been reported on the terminal.
    """
    brought, complaints, left = 0, dict[str, None](), 0
    for folder in _kept(outputs_dir):
        before = pending(folder)[0]
        try:
            _bring(folder, _store_of(folder, outputs_dir, uri))
        except (StoreUnavailableError, StoreError) as error:
            complaints[str(error)] = None
        left_here = pending(folder)[0]
        brought, left = brought + before - left_here, left + left_here
    show_synced(brought, left, list(complaints))
    return left == 0


def _kept(outputs_dir: Path) -> Iterator[Path]:
    """Yield the folders of sweeps and single runs that have undelivered records."""
    for kind in ("runs", "sweeps"):
        for folder in sorted((outputs_dir / kind).glob("*/")):
            if pending(folder)[0]:
                yield folder


def _store_of(folder: Path, outputs_dir: Path, uri: str | None) -> Store:
    """Return the store to which the records in `folder` belong."""
    begin = next(journals(folder)).entries()[0]
    return store_at(outputs_dir, uri or begin["uri"], begin["experiment"])


def _bring(folder: Path, store: Store) -> None:
    """Deliver the records, then write the report of a sweep again: it was written without the store."""
    deliver_all(folder, store)
    sweep = Journal(folder)
    if sweep.exists and not sweep.open and (folder / SweepFile.PLAN).exists():
        write_and_publish(folder, store)
    else:
        checkpoint_wal(store)


def show_synced(num_brought: int, num_left: int, complaints: Sequence[str]) -> None:
    """Show the outcome of delivering records to the store."""
    CONSOLE.print(f"{num_brought} records brought to the tracking store, {num_left} left", markup=False)
    for complaint in complaints:
        show_error(complaint)
    if num_left and not complaints:
        show_error("what is left belongs to runs that go on: their own processes bring it")


if __name__ == "__main__":
    process_exit.run(main)
