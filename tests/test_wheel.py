"""The package as pip installs it, in an environment of its own and an empty folder, without the checkout."""

import os
import subprocess
import sys
import sysconfig

import pytest

from tests.support.configurations import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the commands of an environment that has the wheel, and borrows the packages that it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    (packages,) = (folder / "venv" / "lib").glob("*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # but not what is installed as editable there
    return folder / "venv" / "bin"


def run(installed, folder, *command):
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=folder, env={**clean, "PATH": path}, capture_output=True, text=True, timeout=300)


def test_a_sweep_is_trained_reported_and_synced_from_an_empty_folder(installed, tmp_path):
    done = run(installed, tmp_path, "image-sweeps", "train", "-m", "model=cnn,cnn_batch", "epochs=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]
    (cell, _) = tmp_path.glob("outputs/sweeps/*/*/cell.json")
    assert "image_sweeps.model.cnn.CNN" in cell.read_text()
    (page,) = tmp_path.glob("outputs/sweeps/*/report.html")
    assert "image-sweeps train -m model=cnn,cnn_batch epochs=1" in page.read_text()

    page.unlink()
    done = run(installed, tmp_path, "image-sweeps", "report", "sweep=last")
    assert (done.returncode, done.stderr) == (0, "")
    assert page.exists()

    done = run(installed, tmp_path, "image-sweeps", "sync")
    assert (done.returncode, done.stdout) == (0, "0 records brought to the tracking store, 0 left\n")


def test_the_package_runs_by_its_name_and_prints_that(installed, tmp_path):
    done = run(installed, tmp_path, "python", "-m", "image_sweeps.train", "--help")
    assert done.returncode == 0
    assert "  python -m image_sweeps.train model=cnn_batch" in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_told_with_those_that_there_are(installed, tmp_path):
    done = run(installed, tmp_path, "image-sweeps", "trian")
    assert done.returncode == 2
    assert done.stderr.startswith("trian: there is no such command\nusage: image-sweeps COMMAND")
