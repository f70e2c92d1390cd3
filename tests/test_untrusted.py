"""Files from elsewhere, and secrets: what is not trusted does nothing, and what is secret goes nowhere."""

import ast
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from src.dataset import load
from src.fit import checkpoint
from src.model.weights import WeightsError, read
from tests.conftest import ROOT, source_of
from tests.tracking.servers import serving

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]", "epochs=1")
PASSWORD, TOKEN = "hunter2/with%slash", "token-1f2e3d4c"


def run(*arguments, module="src.train", **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


# --- secrets ----------------------------------------------------------------------------------------------------------


def bytes_below(folder):
    """All that was written, file by file; archives member by member."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from ((path, archive.read(name)) for name in archive.namelist())


def test_a_password_in_the_servers_address_reaches_nothing_that_is_written(tmp_path):
    with serving(tmp_path) as server:
        address = server.uri.replace("http://", "http://alice-in-secret:hunter2%2Fwith%25slash@")
        secrets = {"MLFLOW_TRACKING_URI": address, "AWS_SECRET_ACCESS_KEY": TOKEN, "GITHUB_TOKEN": TOKEN}
        done = run("-m", f"outputs_dir={tmp_path / 'outputs'}", *TINY, "seed=0,1", **secrets)
        assert done.returncode == 0, done.stderr
        again = run("sweep=last", f"outputs_dir={tmp_path / 'outputs'}", module="src.report", **secrets)
        assert again.returncode == 0, again.stderr
    told = [("the terminal", text.encode()) for text in (done.stdout, done.stderr, again.stdout, again.stderr)]
    written = [*bytes_below(tmp_path), *told]
    assert len(written) > 50
    for place, content in written:
        for secret in ("hunter2", "alice-in-secret", TOKEN):
            assert secret.encode() not in content, (place, secret)


@pytest.mark.parametrize("flags", [("-m",), ()])
def test_a_password_in_a_configuration_is_refused_and_not_repeated(tmp_path, flags):
    done = run(*flags, f"outputs_dir={tmp_path}", "tracking.uri='http://alice:hunter2@127.0.0.1:9'", "epochs=-1")
    assert done.returncode == 2
    assert "tracking.uri: has a user name or password in it" in done.stderr
    assert "MLFLOW_TRACKING_PASSWORD" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


# --- configurations ---------------------------------------------------------------------------------------------------

EVIL = {
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
    "group": "optimizer: {_target_: subprocess.call, args: [touch, '{mark}']}",
    "nested in a group": "optimizer: {lr: {_target_: subprocess.call, args: [touch, '{mark}']}}",
    "a key of its own": "extra: {_target_: subprocess.call, args: [touch, '{mark}']}",
}


@pytest.mark.parametrize("flags", [("-m",), ()], ids=["sweep", "single"])
@pytest.mark.parametrize("kind", EVIL)
def test_a_configuration_from_elsewhere_runs_nothing_and_writes_nothing_elsewhere(tmp_path, kind, flags):
    mark, outputs, conf = tmp_path / "mark", tmp_path / "outputs", tmp_path / "conf"
    conf.mkdir()
    text = EVIL[kind].replace("{mark}", str(mark))
    (conf / "evil.yaml").write_text(f"defaults: [config, _self_]\n{text}\n")
    done = run(*flags, "--config-dir", str(conf), "--config-name", "evil", f"outputs_dir={outputs}", *TINY)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert not outputs.exists() or not list(outputs.rglob("*.pt"))


def test_what_the_user_types_may_name_another_folder(tmp_path):
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 3\n")
    where = (f"outputs_dir={tmp_path / 'outputs'}", f"hydra.run.dir={tmp_path / 'elsewhere'}")
    done = run("--config-dir", str(conf), "--config-name", "mine", *where, *TINY)
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
    write({"training": Malicious(mark)}, tmp_path / checkpoint.LAST)
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / checkpoint.LAST)


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
            assert name != "pickle.loads" or path.name == "bases.py", "which reads what its process has in memory"
            if name in LOADERS or "weights_only" in said:
                seen.add(name)
                assert said.get("weights_only", "True") == "True", path
                assert said.get("allow_pickle", "False") == "False", path
                assert said.keys() & {"weights_only", "allow_pickle"}, path
    assert {"torch.load", "np.load"} <= seen
