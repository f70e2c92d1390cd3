"""Records that are on the disk and not in the store yet: their number, and the command that delivers them."""

import shlex
from pathlib import Path

from image_sweeps.config.invocation import program
from image_sweeps.config.schema import Config
from image_sweeps.system.console import CONSOLE
from image_sweeps.tracking.journal import pending


def show_kept(folder: Path, config: Config) -> bool:
    """Print how many records of a sweep, or of a single run, are kept in its folder. Return whether there are any."""
    num_records, num_runs = pending(folder)
    if num_records:
        command = shlex.join([*program("sync"), f"outputs_dir={config.outputs_dir}"])
        CONSOLE.print(
            f"\n{num_records} records of {num_runs} runs are kept here and not in the tracking store yet; to bring "
            f"them there:\n  {command}",
            soft_wrap=True,
            markup=False,
        )
    return num_records > 0
