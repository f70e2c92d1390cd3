"""The names of all files in the folder of a cell and in the folder of a sweep.

`outputs/sweeps/<sweep id>/` is the folder of a sweep, `outputs/sweeps/<sweep id>/<cell id>/` the folder of a cell.
"""

from enum import StrEnum


class CellFile(StrEnum):
    """A file in the folder of a cell. The folder of a single run holds those files that apply to a single run."""

    CELL = "cell.json"
    """The cell as it was planned: `image_sweeps.cell.cell`."""
    JOB = "job.json"
    """Hydra's description of the cell's job, for a process on another machine: `image_sweeps.launch.worker`."""
    TRIAL = "trial.json"
    """The trial of a search that the cell is run for: `image_sweeps.search.trial`."""
    LOCK = ".lock"
    """The lock of the process that works on the cell: `image_sweeps.launch.attempt`."""
    CLAIM = "claim"
    """The token of the attempt that the cell belongs to: `image_sweeps.cell.claim`."""
    WHERE = "where.txt"
    """The node and GPU of the cell while it runs on a Ray cluster: `image_sweeps.launch.ray.worker`."""
    OUTPUT = "output.log"
    """The standard output and standard error of the cell's process: `image_sweeps.launch.worker`."""
    LOG = "train.log"
    """The log of the cell: `conf/hydra/job_logging/file.yaml`."""
    RECORDS = "records"
    """The folder of its run's journal: `image_sweeps.tracking.journal`."""
    LAST = "last.pt"
    """The checkpoint that the cell continues from until it is over: `image_sweeps.fit.checkpoint`."""
    BEST = "best.pt"
    """The weights of the epoch that validation chose: `image_sweeps.launch.attempt`."""
    RESULT = "result.json"
    """The result of the cell: `image_sweeps.cell.result`."""


class SweepFile(StrEnum):
    """A file in the folder of a sweep, beside the folders of its cells."""

    PLAN = "plan.json"
    """The plan of the sweep, with everything that it depends on: `image_sweeps.cell.saved_plan`."""
    LOCK = ".lock"
    """The lock of the process that runs the sweep: `image_sweeps.sweep.run`."""
    CLAIM = "claim"
    """The token of the process that the sweep belongs to: `image_sweeps.cell.claim`."""
    RECORDS = "records"
    """The folder of its run's journal: `image_sweeps.tracking.journal`."""
    STUDY = "study.log"
    """Optuna's journal of a search: `image_sweeps.search.study`."""
    STUDY_LOCK = ".study.log.lock"
    """The lock of the process that writes to the study."""
    SEARCH = "search.json"
    """The record of a search: `image_sweeps.cell.search_record`."""
    SLURM = "slurm"
    """The folder of the SLURM job arrays and their logs: `image_sweeps.launch.slurm.arrays`."""
    PAGE = "report.html"
    """The report for people: `image_sweeps.report.write`."""
    DATA = "report.json"
    """The report for programs."""
    CELLS = "cells.csv"
    """The cells as a table."""
