"""Files from elsewhere: what is not trusted does nothing."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from image_sweeps.command_line import checked_arguments
from image_sweeps.dataset import load
from image_sweeps.fit import checkpoint
from image_sweeps.model.weights import WeightsError, read
from tests.support import warm
from tests.support.configurations import ROOT, source_of

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]", "epochs=1")


# --- configurations ---------------------------------------------------------------------------------------------------

OF_HYDRA = {
    "callback": "hydra: {callbacks: {c: {_target_: subprocess.call, args: [touch, '{mark}']}}}",
    "nested target": "hydra: {callbacks: {c: {_target_: hydra.experimental.callbacks.LogJobReturnCallback, "
    "inner: [{_target_: subprocess.call, args: [touch, '{mark}']}]}}}",
    "log handler": "hydra: {job_logging: {handlers: {h: {(): subprocess.call, args: [touch, '{mark}']}}}}",
    "log handler class": "hydra: {job_logging: {handlers: {h: {class: subprocess.Popen, args: [touch, '{mark}']}}}}",
    "log stream": "hydra: {hydra_logging: {handlers: {h: {class: logging.StreamHandler, stream: 'ext://antigravity'}}}}",
    "log file": "hydra: {job_logging: {handlers: {file: {filename: '{mark}'}}}}",
    "run folder": "hydra: {run: {dir: '{mark}'}}",
    "sweep folder": "hydra: {sweep: {dir: '{mark}'}}",
    "sub folder": "hydra: {output_subdir: '../../../../{mark}'}",
    "environment": "hydra: {job: {env_set: {LD_PRELOAD: /evil.so}}}",
}
"""What is in Hydra's own part, which is read before anything is composed."""

OF_OURS = {
    "group": "optimizer: {_target_: subprocess.call, args: [touch, '{mark}']}",
    "nested in a group": "optimizer: {lr: {_target_: subprocess.call, args: [touch, '{mark}']}}",
    "a key of its own": "extra: {_target_: subprocess.call, args: [touch, '{mark}']}",
}

EVIL = OF_HYDRA | OF_OURS
FLAGS = pytest.mark.parametrize("flags", [("-m",), ()], ids=["sweep", "single"])


@pytest.fixture
def evil(tmp_path):
    """Makes the arguments of a command with such a configuration."""

    def arguments(kind, flags):
        conf = tmp_path / "conf"
        conf.mkdir()
        text = EVIL[kind].replace("{mark}", str(tmp_path / "mark"))
        (conf / "evil.yaml").write_text(f"defaults: [config, _self_]\n{text}\n")
        where = f"outputs_dir={tmp_path / 'outputs'}"
        return (*flags, "--config-dir", str(conf), "--config-name", "evil", where, *TINY)

    yield arguments
    assert not (tmp_path / "mark").exists()
    assert not list(tmp_path.glob("outputs/**/*.pt"))


@FLAGS
@pytest.mark.parametrize("kind", OF_HYDRA)
def test_a_configuration_from_elsewhere_is_refused_before_hydra_acts_on_it(evil, capsys, kind, flags):
    with pytest.raises(SystemExit) as refused:
        checked_arguments(evil(kind, flags))
    assert refused.value.code == 2
    assert "a file from elsewhere may " in capsys.readouterr().err


def commands():
    """What is in our own part a sweep composes first, so that the whole command is run; and one of Hydra's as well."""
    for kind in EVIL:
        for flags in (("-m",), ()):
            chosen = kind == "callback" or (kind in OF_OURS and flags)
            marks = () if chosen else pytest.mark.soak
            yield pytest.param(kind, flags, marks=marks, id=f"{kind}-{'sweep' if flags else 'single'}")


@pytest.mark.parametrize(("kind", "flags"), list(commands()))
def test_a_configuration_from_elsewhere_runs_nothing_and_writes_nothing_elsewhere(evil, kind, flags):
    done = warm.run(*evil(kind, flags))
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", OF_OURS)
def test_a_single_cell_of_such_a_configuration_is_refused_before_it_is_built(evil, kind):
    with pytest.raises(SystemExit) as refused:
        checked_arguments(evil(kind, ()))
    assert refused.value.code == 2


def test_what_the_user_types_may_name_another_folder(tmp_path):
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 3\n")
    where = (f"outputs_dir={tmp_path / 'outputs'}", f"hydra.run.dir={tmp_path / 'elsewhere'}")
    done = warm.run("--config-dir", str(conf), "--config-name", "mine", *where, *TINY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere" / "best.pt").exists()


# --- files that are loaded --------------------------------------------------------------------------------------------


class Malicious:
    """Unpickling this leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


@pytest.fixture
def mark(tmp_path):
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists(), "code of the file was run"


def test_the_mark_would_be_left(tmp_path):
    pickle.loads(pickle.dumps(Malicious(tmp_path / "mark")))  # noqa: S301
    assert (tmp_path / "mark").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [lambda content, path: path.write_bytes(pickle.dumps(content)), torch.save])
def test_a_checkpoint_runs_nothing(tmp_path, mark, write):
    write({"training": Malicious(mark)}, tmp_path / "last.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "last.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [lambda content, path: path.write_bytes(pickle.dumps(content)), torch.save])
def test_weights_run_nothing(tmp_path, mark, write):
    write({"weight": Malicious(mark)}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError):
        read(tmp_path / "weights.pt", "model.weights", torch.device("cpu"))


def test_a_cache_runs_nothing_and_is_made_again(tmp_path, mark):
    source = source_of("dataset.image_size=8")
    honest = load(source, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*.npy"):
        np.save(path, np.array([Malicious(mark)], dtype=object), allow_pickle=True)
    again = load(source, tmp_path / "cache")
    assert torch.equal(again.test.labels, honest.test.labels)


LOADERS = {"torch.load", "np.load", "numpy.load"}
UNPICKLERS = {"pickle.load", "joblib.load", "dill.load", "pd.read_pickle", "pandas.read_pickle", "torch.package"}


def test_nothing_below_src_loads_what_could_be_a_pickle():
    """Of the loaders of libraries, those that can unpickle are told not to, wherever they are called."""
    seen = set()
    for path in (ROOT / "src").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name, said = ast.unparse(call.func), {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert name not in UNPICKLERS, path
            assert name != "pickle.loads" or path.name == "composition_cache.py", (
                "which reads what its process has in memory"
            )
            if name in LOADERS or "weights_only" in said:
                seen.add(name)
                assert said.get("weights_only", "True") == "True", path
                assert said.get("allow_pickle", "False") == "False", path
                assert said.keys() & {"weights_only", "allow_pickle"}, path
    assert {"torch.load", "np.load"} <= seen
