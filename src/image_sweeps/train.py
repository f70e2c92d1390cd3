"""Train one cell, or with `-m` a sweep of them.

    image-sweeps train model=cnn_batch
    image-sweeps train -m model=cnn,cnn_batch seed=0,1,2

Exit codes: 0 all cells finished; 1 some cell failed, the others still ran; 2 the configuration was wrong and nothing
ran.
"""

import logging
import signal
import sys

import hydra
from omegaconf import DictConfig

from image_sweeps.command_line import asks_only, checked_arguments
from image_sweeps.system import process_exit
from image_sweeps.system.home import CONF
from image_sweeps.system.torchrun import TorchrunEnv


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(cfg: DictConfig) -> None:
    """Run one cell, as Hydra's task function.

    Raises:
        KeyboardInterrupt: if a cell of a sweep was interrupted, so that the launcher starts no other cell.
    """
    from image_sweeps.launch.hydra_job import run_job  # imports torch and MLflow: --help and --cfg job save 3 s

    run_job(cfg)


def main() -> None:
    """Run the command line. Of the processes that torchrun has started, only rank 0 reads it."""
    if (started := TorchrunEnv.load()) is not None and started.rank > 0:
        if not asks_only():
            from image_sweeps.fit.ranks import follow_torchrun

            follow_torchrun(started)
        return
    logging.raiseExceptions = False  # on a full disk, logging would fill the terminal with tracebacks
    sys.argv[1:] = checked_arguments(sys.argv[1:])
    try:
        job()
    except KeyboardInterrupt:  # the second Ctrl-C, or one outside of a cell
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    process_exit.run(main)
