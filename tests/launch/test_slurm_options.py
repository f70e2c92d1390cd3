"""What needs no SLURM: the options, the reasons in words, and a machine without its commands."""

import os
import signal
import stat

import pytest
import yaml

from image_sweeps.config.composition import CONF
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.slurm import queue
from image_sweeps.launch.slurm.arrays import Array, arrays
from image_sweeps.launch.slurm.queue import Job
from image_sweeps.launch.slurm.reasons import reason
from tests.support.slurm_options import DEFAULTS, options


def test_the_options_are_those_of_the_file():
    declared = yaml.safe_load((CONF / "hydra" / "launcher" / "slurm.yaml").read_text())
    assert declared.pop("_target_") == "hydra_plugins.slurm_launcher.SlurmLauncher"
    assert declared == DEFAULTS | {"cpus_per_task": "${threads}"}


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"partition": "gpu"}, "--partition=gpu"),
        ({"account": "a"}, "--account=a"),
        ({"qos": "long"}, "--qos=long"),
        ({"constraint": "a100&nvlink"}, "--constraint=a100&nvlink"),
        ({"exclude": "n[1-2]"}, "--exclude=n[1-2]"),
        ({"reservation": "r"}, "--reservation=r"),
        ({"gpus_per_node": 2}, "--gres=gpu:2"),
        ({"gpus_per_node": "a100:2"}, "--gres=gpu:a100:2"),
        ({"cpus_per_task": 4}, "--cpus-per-task=4"),
        ({"mem_gb": 1.5}, "--mem=1536M"),
        ({"timeout_min": 90}, "--time=90"),
        ({"signal": "USR1", "signal_delay_s": 60}, "--signal=B:USR1@60"),
        ({"requeue": False}, "--no-requeue"),
    ],
)
def test_an_option_is_a_flag_of_sbatch_and_what_is_null_is_left_to_slurm(changes, flag):
    assert flag in options(**changes).flags
    assert flag not in options().flags


def test_a_cell_that_is_not_put_back_is_not_asked_to_make_room():
    assert not [flag for flag in options(requeue=False).flags if flag.startswith("--signal")]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"cpus_per_task": 0}, "hydra.launcher.cpus_per_task = 0: must be greater than 0"),
        (
            {"gpus_per_node": 0},
            "hydra.launcher.gpus_per_node = 0: must be a number greater than 0, or kind:number as in",
        ),
        ({"gpus_per_node": "a100"}, "hydra.launcher.gpus_per_node = 'a100': must be a number greater than 0, or kind:"),
        ({"mem_gb": -1}, "hydra.launcher.mem_gb = -1: must be greater than 0"),
        ({"partition": ""}, "hydra.launcher.partition = '': String should have at least 1 character"),
        ({"signal": "KILL"}, "hydra.launcher.signal = 'KILL': must be one of 'USR1' or 'USR2'"),
        ({"requeue": "yes"}, "hydra.launcher.requeue = 'yes': must be a valid boolean"),
        ({"partitions": "gpu"}, "hydra.launcher.partitions: there is no such key. Did you mean partition?"),
        (
            {"timeout_min": 1, "signal_delay_s": 60},
            "hydra.launcher.signal_delay_s = 60: must be less than the time limit, hydra.launcher.timeout_min = 1",
        ),
    ],
)
def test_a_wrong_option_is_named_with_what_is_accepted(changes, problem):
    with pytest.raises(ConfigError) as caught:
        options(**changes)
    assert problem in str(caught.value)
    assert str(caught.value).count("\n  hydra") == 1


def test_all_wrong_options_are_named_together():
    with pytest.raises(ConfigError, match="3 problems"):
        options(cpus_per_task=0, mem_gb=0, gpus_per_node="many")


def test_without_slurm_the_launcher_says_what_is_missing_and_where_it_is(command_line, tmp_path):
    done = command_line("-m", "hydra/launcher=slurm", "seed=0,1", f"outputs_dir={tmp_path}", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "hydra/launcher = 'slurm': sbatch, squeue, scancel, scontrol not found in PATH" in done.stderr
    assert "on a login node of the cluster, or with hydra/launcher=pool" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_sweep_of_another_sweeper_is_refused(command_line, tmp_path):
    done = command_line("-m", "hydra/launcher=slurm", "hydra/sweeper=basic", "seed=0,1", f"outputs_dir={tmp_path}")
    assert done.returncode == 2
    assert "hydra/launcher = 'slurm': runs the cells that hydra/sweeper=grid or optuna has planned" in done.stderr


def job(state, status=0, node="n1", array=7, index=3):
    return Job(array, index, "a-sweep.1", state, status, node, "None")


@pytest.mark.parametrize(
    ("ended", "written", "said"),
    [
        (job("FAILED", 3 << 8), "", "its process ended with exit code 3 (SLURM job 7_3 on n1: FAILED)"),
        (job("FAILED", signal.SIGSEGV), "", "killed by SIGSEGV (SLURM job 7_3 on n1: FAILED)"),
        (
            job("FAILED", 127 << 8),
            "slurm_script: exec: python: not found\nslurmstepd-n1: error: or so\n",
            "its process ended with exit code 127 (SLURM job 7_3 on n1: FAILED): slurm_script: exec: python: not found",
        ),
        (
            job("FAILED", 53),
            None,
            "SLURM could not start it (SLURM job 7_3 on n1: FAILED); it has no output: n1 has to see",
        ),
        (job("COMPLETED"), "", "its process ended with exit code 0 (SLURM job 7_3 on n1: COMPLETED)"),
        (job("CANCELLED", node=""), "", "it was cancelled in SLURM's queue (SLURM job 7_3: CANCELLED)"),
        (job("NODE_FAIL"), "", "its node failed (SLURM job 7_3 on n1: NODE_FAIL)"),
        (job("PREEMPTED"), "", "it was pre-empted (SLURM job 7_3 on n1: PREEMPTED)"),
        (job("UNKNOWN"), "", "it left SLURM's queue, and nothing tells how (SLURM job 7_3 on n1: UNKNOWN)"),
        (
            job("TIMEOUT"),
            "",
            "it took longer than its time limit (SLURM job 7_3 on n1: TIMEOUT); hydra.launcher.timeout_min",
        ),
        (
            job("OUT_OF_MEMORY", 9),
            "",
            "it took more memory than it was given (SLURM job 7_3 on n1: OUT_OF_MEMORY); hydra.",
        ),
        (job("FAILED", 9), "slurmstepd: error: Exceeded job memory limit\n", "it took more memory than it was given"),
        (
            job("FAILED", 9),
            "Some of the step tasks have been OOM Killed: oom_kill event",
            "it took more memory than it",
        ),
    ],
)
def test_how_a_job_ended_is_told_in_words(ended, written, said):
    assert reason(ended, written).startswith(said)


@pytest.mark.parametrize(
    ("answer", "state", "status"),
    [
        ("echo 'TIMEOUT|0:15'", "TIMEOUT", 15),
        ("echo 'CANCELLED by 0|0:0'", "CANCELLED", 0),
        ("echo 'FAILED|3:0'", "FAILED", 3 << 8),
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", "UNKNOWN", 0),
        ("true", "UNKNOWN", 0),
    ],
)
def test_a_job_that_the_queue_has_forgotten_is_looked_up_where_there_is_accounting(
    tmp_path, monkeypatch, answer, state, status
):
    """Against a stand-in for `sacct`, which needs a database behind it."""
    sacct = tmp_path / "sacct"
    sacct.write_text(f'#!/bin/sh\ncase "$*" in *--jobs=7_3*) {answer};; esac\n')
    sacct.chmod(sacct.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    known = queue.accounted(job("RUNNING"))
    assert (known.id, known.state, known.status) == ("7_3", state, status)


def test_the_arrays_of_a_sweep_are_found_in_their_order(tmp_path):
    for number in range(1, 12):
        made = Array.of(tmp_path, [f"cell{number}"])
        assert made.number == number
        made.save()
    assert [array.cells for array in arrays(tmp_path)] == [(f"cell{number}",) for number in range(1, 12)]
    assert made.name == f"{tmp_path.name}.11"
