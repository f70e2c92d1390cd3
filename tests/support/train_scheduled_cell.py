"""A cell as a scheduler's job trains it: `python -m tests.support.train_scheduled_cell FOLDER`."""

import sys
from pathlib import Path

from image_sweeps.launch.scheduled_cell import run_scheduled_cell
from image_sweeps.system import process_exit

if __name__ == "__main__":
    process_exit.run(lambda: run_scheduled_cell(Path(sys.argv[1]), 1))
