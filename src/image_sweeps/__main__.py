"""The command `image-sweeps`: train, report or sync."""

import sys

from image_sweeps.system import process_exit

USAGE = """usage: image-sweeps COMMAND ...

  train    train one cell, or with -m a sweep of them; image-sweeps train --help lists what can be chosen
  report   sum a sweep up again: image-sweeps report sweep=last
  sync     bring records to the tracking store that were kept here: image-sweeps sync
"""


def main() -> None:
    """Run the command line. The arguments after the command belong to the command."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command == "train":
        from image_sweeps.train import main as run
    elif command == "report":
        from image_sweeps.report.__main__ import main as run
    elif command == "sync":
        from image_sweeps.sync import main as run
    else:
        asked = command in ("-h", "--help")
        (sys.stdout if asked else sys.stderr).write(USAGE if asked else f"{command}: there is no such command\n{USAGE}")
        sys.exit(0 if asked else 2)
    del sys.argv[1]
    run()


def script() -> None:
    """Run `main` as the entry point of the console script."""
    process_exit.run(main)


if __name__ == "__main__":
    script()
