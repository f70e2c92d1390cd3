"""The names of all files in the folder of a cell and in that of a sweep.

`outputs/sweeps/<sweep id>/` is a sweep's, `outputs/sweeps/<sweep id>/<cell id>/` a cell's.
"""

from enum import StrEnum


class CellFile(StrEnum):
    """A file in the folder of a cell; a single run's folder has the same, as far as they concern it."""

    CELL = "cell.json"
    """The cell as it was planned: `image_sweeps.cell.cell`."""
    JOB = "job.json"
    """What Hydra says of its job, for a process on another machine: `image_sweeps.launch.worker`."""
    TRIAL = "trial.json"
    """The trial of a search that it is: `image_sweeps.search.trial`."""
    LOCK = ".lock"
    """Held by the process that is at work on it: `image_sweeps.launch.attempt`."""
    CLAIM = "claim"
    """The token of the attempt that it belongs to: `image_sweeps.cell.claim`."""
    WHERE = "where.txt"
    """As long as it runs on a Ray cluster, the node and its GPU: `image_sweeps.launch.ray.node`."""
    OUTPUT = "output.log"
    """All that its process writes to standard output and standard error: `image_sweeps.launch.worker`."""
    LOG = "train.log"
    """What it logs: `conf/hydra/job_logging/file.yaml`."""
    RECORDS = "records"
    """The folder of its run's journal: `image_sweeps.tracking.journal`."""
    LAST = "last.pt"
    """The checkpoint that it goes on from, until it is over: `image_sweeps.fit.checkpoint`."""
    BEST = "best.pt"
    """The weights that validation chose: `image_sweeps.launch.attempt`."""
    RESULT = "result.json"
    """Its outcome: `image_sweeps.cell.result`."""


class SweepFile(StrEnum):
    """A file in the folder of a sweep, beside the folders of its cells."""

    PLAN = "plan.json"
    """What was planned, with all that it rests on: `image_sweeps.cell.saved_plan`."""
    LOCK = ".lock"
    """Held by the process that runs it: `image_sweeps.sweep.run`."""
    CLAIM = "claim"
    """The token of the process that it belongs to: `image_sweeps.cell.claim`."""
    RECORDS = "records"
    """The folder of its run's journal: `image_sweeps.tracking.journal`."""
    STUDY = "study.log"
    """Optuna's journal of a search: `image_sweeps.search.study`."""
    STUDY_LOCK = ".study.log.lock"
    """Held by the process that writes to the study."""
    SEARCH = "search.json"
    """How far a search has come: `image_sweeps.cell.search_record`."""
    SLURM = "slurm"
    """The folder of SLURM's job arrays and their logs: `image_sweeps.launch.slurm.arrays`."""
    PAGE = "report.html"
    """The report for a person: `image_sweeps.report.write`."""
    DATA = "report.json"
    """The report for programs."""
    CELLS = "cells.csv"
    """The cells as a table."""
