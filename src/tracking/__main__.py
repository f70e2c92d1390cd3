"""Bring records to the store that were kept on the disk, because it was away or because of tracking.offline=true.

    python -m src.tracking sync
    python -m src.tracking sync outputs_dir=elsewhere tracking.uri=http://127.0.0.1:5000

Of a run that goes on its own process does that. Exit codes: 0 everything is there; 1 something is left, and why is
said; 2 the command was wrong.
"""

import sys
from pathlib import Path

from src import leaving
from src.credentials import hide_credentials

KEYS = ("outputs_dir", "tracking.uri")

USAGE = "python -m src.tracking sync [outputs_dir=...] [tracking.uri=...]"


def main() -> None:
    """The command line."""
    from src.command_line import WRONG_CONFIGURATION
    from src.compose import composed, hydra_at
    from src.key_values import UsageError, key_values
    from src.terminal import show_error
    from src.tracking.sync import sync

    hide_credentials()
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(__doc__ or "")
        return
    try:
        given = key_values(_after_sync(arguments), KEYS, USAGE)
    except UsageError as error:
        show_error(str(error))
        sys.exit(WRONG_CONFIGURATION)
    with hydra_at():
        outputs_dir = Path(given.get("outputs_dir") or composed([]).config.outputs_dir)
    sys.exit(0 if sync(outputs_dir, given.get("tracking.uri")) else 1)


def _after_sync(arguments: list[str]) -> list[str]:
    from src.key_values import UsageError

    if arguments[:1] != ["sync"]:
        raise UsageError(USAGE)
    return arguments[1:]


if __name__ == "__main__":
    leaving.run(main)
