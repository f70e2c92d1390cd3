"""Command lines of all kinds: accepted, or refused with exit code 2 and a message that says why."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_sweeps.command_line import checked_arguments
from image_sweeps.config.composition import hydra_at
from image_sweeps.config.problems import ConfigError, refuse
from image_sweeps.config.schema import GROUPS
from image_sweeps.sweep.plan import plan
from tests.support.configurations import choices, config_of
from tests.support.fuzzing import fuzz

OF_HYDRA = (
    *("hydra", "hydra.mode", "hydra.verbose", "hydra.job.name", "hydra.job.chdir", "hydra.job.env_copy"),
    *("hydra.launcher", "hydra.launcher.cells_per_gpu", "hydra/launcher", "hydra.sweeper.params"),
    *("hydra.sweeper.blocks", "hydra/sweeper", "hydra.searchpath", "hydra.job_logging.root", "hydra.nope"),
)
NO_KEYS = (
    "nope",
    "model.nope",
    "optimizer.lr.x",
    "model.channels.0",
    "dataset@x",
    "model@y.z",
    "a/b",
    "",
    ".",
    "é",
    "[",
)
PLAIN = (
    *(
        "",
        "0",
        "1",
        "-1",
        "0.5",
        "1e400",
        "nan",
        "-inf",
        "9" * 400,
        "1_000",
        "0x10",
        "true",
        "null",
        "???",
        "''",
        '"a"',
    ),
    *("'a", "cnn", "mlp", "adam", "digits", "image_zip", "resnet18", "/dev/null", "../..", "x" * 300, "cuda:99"),
    *(
        "é",
        "日本",
        "\u202e",
        "😀",
        "e\u0301",
        "\x1b[2J",
        "a b",
        "a\tb",
        "a\nb",
        "[/]",
        "<b>",
        "%s",
        "{0}",
        "\\",
        "\udcff",
    ),
    *(
        "a=b",
        "a:b",
        "a@b",
        "#",
        "!!python/object:os.system",
        "&a",
        "*a",
        "- a",
        "12:30",
        "$(ls)",
        "`ls`",
        "0o7",
        "\u0661",
    ),
)
STRUCTURED = (
    *(
        "[]",
        "[1]",
        "[[1]]",
        "[1,,2]",
        "[nan]",
        "{}",
        "{a: 1}",
        "{a:{b:[1]}}",
        "{1: 2}",
        "{",
        "]",
        ")",
        "1,2",
        ",",
        "1,",
    ),
    *("range(3)", "range(0,1,0)", "range(3,0)", "range(1000000000)", "range(0,inf)", "range(0,1,nan)", "range(a)"),
    *("choice(1,2)", "choice()", "interval(0,1)", "glob(*)", "glob([a*,*],exclude=cnn)", "sort(3,1,2)", "shuffle(1,2)"),
    *("shuffle(range(1000000000))", "tag(x,choice(1,2))", "int(3)", "float(x)", "json_str('{}')", "extend_list(1)"),
    *("${seed}", "${nope}", "${seed", "${oc.env:NOPE}", "${oc.decode:'['}", "${nope:1}", "${optimizer}", "${.lr}"),
    *("${optimizer.${seed}}", "${hydra:job.name}", "[" * 500 + "]" * 500, "{a:" * 300 + "1" + "}" * 300, "${" * 99),
)
FLAGS = (
    *((), ("-m",), ("--multirun",), ("-m", "--run"), ("--resolve",), ("--cfg", "job"), ("--cfg", "nope"), ("--nope",)),
    *(("--config-name", "nope"), ("--config-dir", "nope"), ("--config-path", "nope"), ("--shell-completion",)),
    *(("--experimental-rerun", "x"), ("--experiment=mlp",), ("--info", "nope"), ("--info", "config"), ("--",)),
)


def keys():
    """Every key of the configuration, by its dotted name, and what is none."""
    found = [*NO_KEYS, *OF_HYDRA, *GROUPS, "experiment"]

    def collect(part, prefix=""):
        for key, value in part.items():
            found.append(prefix + key)
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}.")

    collect(config_of().model_dump(by_alias=True, serialize_as_any=True, mode="json"))
    return found


KEYS = keys()
VALUES = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(STRUCTURED),
    st.text(max_size=8),
    st.text("[]{}(),=:'\"\\${}~+@/. 1a", max_size=8),
)
OVERRIDES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "", "", "+", "++", "~", "-", "@", " ")),
    st.sampled_from(KEYS) | st.sampled_from(KEYS).map(lambda key: f"{key}.x") | st.text(max_size=5),
    st.sampled_from(("=", "=", "=", "=", "", ":", "==", " = ")),
    VALUES,
).filter(lambda text: "\0" not in text)  # which no process can be given


@pytest.fixture(autouse=True, scope="module")
def nowhere(tmp_path_factory):
    """A folder to be in: what is accepted may make its outputs_dir, up to two folders above."""
    before = Path.cwd()
    os.chdir(_made(tmp_path_factory.mktemp("nowhere") / "1" / "2" / "3"))
    yield
    os.chdir(before)


def _made(path):
    path.mkdir(parents=True)
    return path


def outcome(arguments):
    """None where the command line is accepted, else the exit code. Of a sweep, all arms are composed."""
    try:
        passed = checked_arguments(arguments)
        if {"-m", "--multirun"} & set(passed) and "--cfg" not in passed:
            sweep([text for text in passed if text not in ("--multirun", "--")])
    except SystemExit as end:
        return end.code
    return None


def test_the_command_lines_tried_are_of_both_kinds():
    assert outcome(["seed=1"]) is outcome(["-m", "seed=1,2"]) is outcome(["-m", "hydra.verbose=false"]) is None
    assert outcome(["seed=x"]) == outcome(["-m", "seed=x"]) == outcome(["-m", "--run"]) == 2


@fuzz(150)
@given(st.sampled_from(FLAGS), st.lists(OVERRIDES, max_size=4), st.integers(0, 4))
def test_any_command_line_is_accepted_or_refused_with_a_message(capfd, flags, overrides, place):
    found = outcome([*overrides[:place], *flags, *overrides[place:]])
    said = capfd.readouterr().err  # which takes bytes that are no UTF-8, as standard error does
    assert found in (None, 0, 2)
    assert "Traceback" not in said


@fuzz(25)
@given(st.sampled_from(sorted(GROUPS)), st.data(), st.sampled_from(KEYS), VALUES)
def test_any_value_of_any_key_of_any_choice_is_accepted_or_refused(group, data, key, value):
    choice = data.draw(st.sampled_from(choices(group)))
    assert outcome(["-m", f"{group}={choice}", f"{key}={value}".replace("\0", "")]) in (None, 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-m", "experiment=[1]"], "experiment=1: there is no such choice. Choices of experiment: "),
        (["-m", "experiment=[[1]]"], "experiment=[1]: there is no such choice. Choices of experiment: "),
        (["-m", "hydra.nope=1"], "hydra.nope=1: Could not override 'hydra.nope'."),
        (["-m", "hydra.launcher=null"], "hydra.launcher = None: a sweep needs one; hydra/launcher=... chooses it"),
        (["-m", "hydra.verbose=true,false"], "hydra.verbose=true,false: Hydra's own keys are the same for the whole "),
        (["-m", "hydra.job.chdir=glob(*)"], "hydra.job.chdir=glob(*): Hydra's own keys are the same for the whole sw"),
        (["-m", "dry_run=${.lr}"], "dry_run: Interpolation key 'lr' not found"),
        (
            ["-m", "hydra/sweeper=nope"],
            "hydra/sweeper=nope: there is no such choice. Choices of hydra/sweeper: basic, ",
        ),
        (
            ["-m", "hydra/sweeper=basic"],
            "hydra/launcher = 'pool': runs the cells that hydra/sweeper=grid or optuna has planned",
        ),
        (["-m", "hydra.job.name=[1]", "epochs=0"], "epochs = 0: must be greater than 0"),
        (["-m", "~optimizer.nope"], "~optimizer.nope: Could not delete from config."),
        (["-m", "--config-name", "nope"], "Cannot find primary config 'nope'"),
        (["-m", "--config-name", ""], "Cannot find primary config ''"),
        (["hydra.verbose=[1]"], "hydra.verbose=[1]: TypeError: A logger name must be a string"),
        (["hydra.job.chdir='???'"], "hydra.job.chdir: Missing mandatory value: chdir"),
        (["hydra.job_logging.root=1"], "hydra.job_logging.root=1: ValueError: Unable to configure root logger"),
        (["hydra.run.dir=${nope}"], "hydra.run.dir: Interpolation key 'nope' not found"),
        (["hydra.run.dir=/dev/null"], "hydra.run.dir = '/dev/null': /dev/null is a file"),
        (["hydra.job.env_copy=[NOPE]"], "hydra.job.env_copy=[NOPE]: KeyError: 'NOPE'"),
        (["+hydra.callbacks.a._target_=nope"], "No module named 'nope'"),
        (["+hydra.callbacks.a._target_=sys.path"], "hydra.callbacks.a._target_ = 'sys.path': cannot be called"),
        (["hydra.searchpath=x"], "hydra.searchpath must be a list of strings. Got: x"),
        (["outputs_dir=/dev/null"], "outputs_dir = '/dev/null': /dev/null is a file; mend that, or name another"),
        (["--config-path", "nowhere"], "nowhere: there is no such folder"),
        (["--config-dir", "x" * 5000], ": there is no such folder"),
        (["--resolve"], "--resolve: goes with --cfg or --help"),
        (["-m", "--run"], "--run, --multirun: give one of them"),
        (["--experiment=mlp"], "--experimental-rerun: is not supported"),
        (["--shell-completion"], "--shell-completion: takes install=bash"),
        (["--cfg", "job", "nope=1"], "Could not override 'nope'"),
        (["-m", "seed=range(0,3,0)"], "seed=range(0,3,0): a range needs finite ends, and a finite step other than 0"),
        (["-m", "seed=shuffle(range(1000000000))"], "has 1000000000 values, more than the 100000 combinations"),
        (
            ["-m", "seed=range(1000)", "epochs=range(1,1001)"],
            "the grid has 1000000 combinations, more than 100000: seed has 1000, epochs has 1000 values",
        ),
        (
            ["-m", "hydra.sweeper.blocks=[{seed: 'range(1000)', epochs: 'range(1,1001)'}]"],
            "the grid has 1000000 combinations, more than 100000: seed has 1000, epochs has 1000 values",
        ),
        (["seed=" + "[" * 31 + "]" * 31], "...: has 31 brackets in one another; at most 30"),
        (["a" * 201 + "=1"], f"{'a' * 40}...: no key has 201 characters; at most 200"),
    ],
)
def test_what_hydra_meets_with_a_traceback_is_refused_before(capsys, arguments, text):
    with pytest.raises(SystemExit) as ended:
        sweep(checked_arguments(arguments))
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def sweep(arguments):
    """What becomes of a sweep whose command line is in order: all of its arms are composed."""
    with hydra_at():
        try:
            plan([text for text in arguments if text != "-m"])
        except ConfigError as error:
            refuse(error)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-m", "hydra.launcher=null"], "hydra.launcher = None: a sweep needs one"),
        pytest.param(
            ["-m", "hydra/sweeper=basic"],
            "hydra/launcher = 'pool': runs the cells that hydra/sweeper=grid or optuna has planned",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            ["-m", "seed=range(1000000000)"],
            "has 1000000000 values, more than the 100000 combinations",
            marks=pytest.mark.soak,
        ),
        (["-m", "outputs_dir=/dev/null"], "outputs_dir = '/dev/null': /dev/null is a file"),
        pytest.param(
            ["hydra.run.dir=/dev/null"], "hydra.run.dir = '/dev/null': /dev/null is a file", marks=pytest.mark.soak
        ),
        (["model=mlp", f"model.hidden={[2**62]}"], "model.hidden = [4611686018427387904], model.dropout = "),
    ],
)
def test_nothing_is_written_and_no_traceback_shown(command_line, tmp_path, arguments, text):
    """By the whole command; what of it says so, is above for the others."""
    outputs = [] if any("outputs_dir" in argument for argument in arguments) else [f"outputs_dir={tmp_path}/outputs"]
    done = command_line(*arguments, *outputs)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
