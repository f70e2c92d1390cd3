"""The options of conf/hydra/launcher/slurm.yaml, for tests that change some of them."""

from image_sweeps.launch.slurm.options import SlurmOptions

DEFAULTS = {
    **dict.fromkeys(("partition", "account", "qos", "constraint", "exclude", "reservation", "gpus_per_node")),
    **dict.fromkeys(("mem_gb", "timeout_min", "array_parallelism")),
    "cpus_per_task": 1,
    "requeue": True,
    "signal": "USR2",
    "signal_delay_s": 90,
    "poll_s": 5.0,
    "latency_s": 30.0,
}


def options(**changes):
    return SlurmOptions.checked(DEFAULTS | changes)
