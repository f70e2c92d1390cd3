"""The command line, in processes of its own."""

import os
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from image_sweeps.command_line import checked_arguments
from tests.support.configurations import ROOT, choices


@pytest.mark.parametrize("question", [["--help"], ["--cfg", "job"], ["-m", "--cfg", "job", "model=cnn,cnn_batch"]])
def test_questions_are_answered_without_torch_or_mlflow(question):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['image_sweeps.train', *{question!r}]\n"
        "try: runpy.run_module('image_sweeps.train', run_name='__main__', alter_sys=True)\n"
        "finally: print('HEAVY', sorted({'torch', 'mlflow', 'sklearn', 'torchvision'} & set(sys.modules)))\n"
    )
    if "-m" in question:
        question.remove("model=cnn,cnn_batch")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout, done.stderr


def test_what_runs_a_sweep_is_imported_without_torchs_compiler_or_an_extra():
    """It takes seconds to import, and torch imports it for many a decorator."""
    code = (
        "import sys, image_sweeps.train, image_sweeps.sweep.run, image_sweeps.launch.pool, image_sweeps.report.write\n"
        "print('HEAVY', sorted({'torch._dynamo', 'optuna', 'ray', 'matplotlib.pyplot'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout, done.stderr


def test_help_shows_every_group_with_its_choices(command_line):
    done = command_line("--help")
    assert done.returncode == 0
    for group in ("dataset", "model", "activation", "norm", "optimizer", "scheduler", "experiment", "tracking"):
        assert f"{group}: {', '.join(choices(group))}\n" in done.stdout


@pytest.mark.parametrize("command", ["report", "sync"])
def test_report_and_sync_help_with_commands_in_the_form_that_was_typed(command_line, command):
    done = command_line("--help", module=f"src.{command}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"    python -m src.{command}" in done.stdout
    assert "Exit codes: 0 if" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="others lack the permission")
@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_folder_that_cannot_be_made_is_refused_by_single_runs_and_sweeps(command_line, mode):
    done = command_line(*mode, "outputs_dir=/proc/x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "outputs_dir = '/proc/x': no folder can be made in /proc (No such file or directory)" in done.stderr


def test_a_dry_run_refuses_a_store_that_cannot_be_used_and_writes_nothing(command_line, tmp_path):
    done = command_line("-m", "seed=0,1", "dry_run=true", f"outputs_dir={tmp_path}/fresh")
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    (tmp_path / "mlflow.db").write_text("no database")
    done = command_line("-m", "seed=0,1", "dry_run=true", f"outputs_dir={tmp_path}")
    assert done.returncode == 2
    assert "file is not a database" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_sync_of_a_folder_that_is_not_there_is_an_error(command_line, tmp_path):
    done = command_line(f"outputs_dir={tmp_path}/typo", module="src.sync")
    assert done.returncode == 2
    assert done.stderr == f"outputs_dir = '{tmp_path}/typo': there is no such folder\n"


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_wrong_configuration_exits_with_2_and_writes_nothing(command_line, tmp_path, mode):
    outputs = tmp_path / "outputs"
    done = command_line(*mode, f"outputs_dir={outputs}", "optimizer.lr=-1", "epochs=0", "model=cnnn")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "The configuration has 3 problems; nothing was run.\n"
        f"  model=cnnn: there is no such choice. Did you mean cnn? Choices of model: {', '.join(choices('model'))}\n"
        "  epochs = 0: must be greater than 0\n"
        "  optimizer.lr = -1: must be greater than 0\n"
    )
    assert not outputs.exists()


def test_a_mistake_in_one_arm_stops_the_sweep_before_anything_is_written(command_line, tmp_path):
    outputs = tmp_path / "outputs"
    done = command_line("-m", f"outputs_dir={outputs}", "optimizer.lr=0.1,-1", "seed=0,1")
    assert done.returncode == 2
    assert (
        "optimizer.lr = -1: must be greater than 0\n    (in optimizer.lr=-1 seed=0; optimizer.lr=-1 seed=1)"
        in done.stderr
    )
    assert not outputs.exists()


def test_missing_data_exits_with_2_and_writes_nothing(command_line, tmp_path, monkeypatch):
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "")
    done = command_line("dataset=fashion_mnist", f"data_dir={tmp_path}/data", f"outputs_dir={tmp_path}/outputs")
    if done.returncode == 0:
        pytest.skip("there is a network: the data set was downloaded")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "could not download what is missing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        checked_arguments(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_several_values_without_a_sweep_say_how_to_sweep(capsys):
    assert "model=cnn,cnn_batch: several values need a sweep; add -m" in refusal(capsys, "model=cnn,cnn_batch")


@pytest.mark.parametrize("override", ["resume=last", "retries=2", "dry_run=false"])
def test_a_single_cell_is_not_told_how_a_sweep_is_run(capsys, override):
    assert f"{override}: belongs to a sweep; add -m" in refusal(capsys, override)


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_grid_in_an_override_needs_quotes(capsys, mode):
    blocks = "hydra.sweeper.blocks=[{seed: range(3)}]"
    assert f"{blocks}: what sweeps in it has to be in quotes" in refusal(capsys, *mode, blocks)


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ("[]", "hydra.sweeper.blocks = []: must be a list of grids"),
        ("[{model: 'cnn,cnnn'}, {seed: '1,2'}]", "model=cnnn: there is no such choice. Did you mean cnn?"),
    ],
)
def test_wrong_blocks_exit_with_2_and_write_nothing(command_line, tmp_path, blocks, problem):
    done = command_line("-m", f"outputs_dir={tmp_path}/outputs", f"hydra.sweeper.blocks={blocks}")
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_value_is_a_value_in_a_sweep_too():
    assert checked_arguments(["-m", "tracking.experiment="]) == ["-m", "tracking.experiment=choice('')"]


def test_a_sweep_folder_of_ones_own_is_refused(capsys):
    assert "set outputs_dir=... instead" in refusal(capsys, "-m", "hydra.sweep.dir=x", "seed=0,1")


def test_a_config_dir_that_is_not_there_is_refused(capsys, tmp_path):
    assert "nowhere: there is no such folder" in refusal(capsys, "--config-dir", f"{tmp_path}/nowhere")


@pytest.mark.parametrize(
    "given",
    [
        "early_stopping.patience=null",
        "+hydra.job.env_set.X=1",
        "hydra.verbose=false",
        "dry_run=true",
        "seed=1",
        "seed=1,2",
    ],
)
def test_hydra_accepts_what_it_is_given_of_a_sweep(given):
    *_, override = checked_arguments(["-m", given])
    (parsed,) = OverridesParser.create().parse_overrides([override])
    assert parsed.key_or_group == given.lstrip("+").split("=")[0]
    assert parsed.is_sweep_override() == given.startswith(("early", "seed"))


def test_overrides_may_stand_on_both_sides_of_a_flag():
    assert checked_arguments(["seed=1", "-m", "model=cnn,cnn_batch"]) == ["-m", "seed=choice(1)", "model=cnn,cnn_batch"]


def test_a_sweep_may_set_a_key_that_only_its_arms_have():
    arguments = checked_arguments(["-m", "optimizer=adam,adamw", "optimizer.eps=1e-6", "hydra.verbose=false"])
    assert arguments == ["-m", "optimizer=adam,adamw", "optimizer.eps=choice(1e-06)", "hydra.verbose=false"]
