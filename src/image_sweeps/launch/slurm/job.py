"""The process of an array task on its node: it runs the cell and, if SLURM asks it to make room, requeues the task.

python -m image_sweeps.launch.slurm.job --signal USR2 --threads 1 outputs/sweeps/.../1020079e5857
"""

import argparse
import os
import signal
from pathlib import Path

from image_sweeps.launch.slurm import queue
from image_sweeps.system import process_exit

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    """Run the command line of a job."""
    parser = argparse.ArgumentParser(description="Train a cell in a job of SLURM's.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, required=True, help="that it may use on the CPU")
    parser.add_argument("--signal", choices=("USR1", "USR2"), help="after which it is queued again; none: never")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # signals stay pending during the imports, which take seconds
    from image_sweeps.cell.result import Result
    from image_sweeps.launch.scheduled_cell import run_scheduled_cell

    came = run_scheduled_cell(arguments.folder, arguments.threads)
    result = Result.load(arguments.folder)
    asked = arguments.signal is not None and signal.Signals[f"SIG{arguments.signal}"] in came
    if asked and signal.SIGINT not in came and result is not None and result.status == "interrupted":
        queue.requeue(f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}")


if __name__ == "__main__":
    process_exit.run(main)
