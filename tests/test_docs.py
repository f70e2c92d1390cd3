"""What the README and docs/ say: every command in them is run, and every file that they name is there.

In `tests` one tiny sweep is trained, which commands that report or sync are about. A command that trains is planned, in
this process: each of its cells is composed, and every key checked, those of SLURM's and Ray's launchers too. In `soak`
it is trained, as small as it gets, on this machine. `pip`, `git`, `nox`, `mlflow` and `torchrun` are left alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from image_sweeps.command_line import checked_arguments
from image_sweeps.config.composition import hydra_at
from image_sweeps.search.plan import plan_search
from image_sweeps.sweep.plan import plan
from tests.support import warm
from tests.support.configurations import FASHION, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = re.compile(r"(DATA_DIR=\S+ )?(python -m src\.|image-sweeps )")
COMMENT = re.compile(r" # .*")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")

TINY = {"epochs": "1", "device": "cpu"}
NUM_CLASSES, NUM_IMAGES = 2, 12  # of the pictures: enough for five folds of each class
ELSEWHERE = ("slurm", "ray")


class Command(NamedTuple):
    """A command of a page.

    Attributes:
        page: its file's name.
        text: as it stands there, in one line.
    """

    page: str
    text: str

    @property
    def words(self):
        """Module and arguments, as the shell would split them."""
        words = [word for word in shlex.split(self.text) if not word.startswith("DATA_DIR=")]
        if words[0] == "image-sweeps":
            return ["image_sweeps", *words[1:]]
        return words[2:]  # python -m

    @property
    def command(self):
        """train, report or sync."""
        return self.words[1] if self.words[0] == "image_sweeps" else self.words[0].removeprefix("src.")

    @property
    def arguments(self):
        return self.words[2:] if self.words[0] == "image_sweeps" else self.words[1:]

    @property
    def launcher(self):
        return self.value("hydra/launcher")

    def value(self, key):
        """What is given for `key`, or None."""
        return next((word.removeprefix(f"{key}=") for word in self.arguments if word.startswith(f"{key}=")), None)

    def run(self, arguments):
        """Run it, in the form in which it stands there, with these arguments instead of its own."""
        named = [self.command] if self.words[0] == "image_sweeps" else []
        return warm.run(*named, *arguments, module=self.words[0])


def commands_in(page):
    """The project's own commands in a page's blocks of bash."""
    blocks = [body for language, body in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "bash"]
    lines = [line.strip() for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    return [Command(page.name, COMMENT.sub("", " ".join(line.split()))) for line in lines if OURS.match(line)]


FOUND = [command for page in PAGES for command in commands_in(page)]
COMMANDS = list({command.text: command for command in reversed(FOUND)}.values())[::-1]
"""Each once, of the first page that has it."""


def of(*kinds):
    """A test of each of the commands train, report or sync."""
    found = [command for command in COMMANDS if command.command in kinds]
    return pytest.mark.parametrize("command", found, ids=lambda command: f"{command.page}: {command.text}")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Where a tiny sweep has left what it found: the cells are some of those that the pages resume."""
    outputs = tmp_path_factory.mktemp("outputs")
    done = warm.run("-m", "model=cnn,cnn_batch", *settings(TINY), "dataset.image_size=8", f"outputs_dir={outputs}")
    assert done.returncode == 0, done.stderr
    return outputs


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with `pictures/`, and the same as the archives that pages and recipes name."""
    data = tmp_path_factory.mktemp("data")
    for number in range(NUM_CLASSES):
        folder = data / "pictures" / f"class_{number}"
        folder.mkdir(parents=True)
        for image in range(NUM_IMAGES):
            Image.new("RGB", (16, 16), (200 * number, 10 * image, 0)).save(folder / f"{image}.png")
    archive = shutil.make_archive(str(data / "pictures"), "zip", data / "pictures")
    for name in ("two_signs", "sign_digits"):
        shutil.copy(archive, data / f"{name}.zip")
    return data


def settings(values):
    return [f"{key}={value}" for key, value in values.items()]


def changed(arguments, values):
    """The arguments with these values, in the place of their own."""
    kept = [word for word in arguments if word.split("=")[0].lstrip("+") not in values]
    return [*kept, *settings(values)]


def small(command, outputs, pictures):
    """The arguments of a command that trains, with the smallest settings that it takes, for this machine alone.

    Skips the test where the data that it asks for are not there.
    """
    recipe, dataset = command.value("experiment") or "", command.value("dataset") or ""
    fashion = "fashion" in recipe + dataset
    if fashion and not FASHION.exists():
        pytest.skip(f"Fashion-MNIST is not there: {FASHION}; set DATA_DIR")
    values = {**TINY, "outputs_dir": outputs, "data_dir": FASHION.parent.parent.parent if fashion else pictures}
    if fashion:
        values["dataset.train_fraction"] = "0.01"
    elif not (recipe or dataset) and "resnet18" not in command.text:
        values["dataset.image_size"] = "8"
    if command.value("hydra/sweeper") == "optuna":
        pytest.importorskip("optuna", reason="pip install -e '.[optuna]'")
        values |= {"hydra.sweeper.n_trials": "2", "hydra.sweeper.confirm_seeds": "1"}
    return changed(command.arguments, values)


def is_question(command):
    """Whether it is answered without training anything."""
    return bool({"--help", "--cfg"} & set(command.arguments))


def test_commands_of_every_kind_are_found():
    assert {command.command for command in COMMANDS} == {"train", "report", "sync"}
    assert {command.page for command in FOUND} >= {"README.md", "sweeps.md", "studies.md", "many-machines.md"}
    assert {command.launcher for command in COMMANDS} >= {"slurm", "ray"}


@of("train")
def test_a_command_that_trains_is_planned_with_every_key(command, outputs, pictures):
    if is_question(command):
        done = command.run(command.arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return
    arguments = small(command, outputs, pictures)
    checked_arguments(arguments)  # ends the process where they are wrong; the launcher's and sweeper's options too
    overrides = [word for word in arguments if word != "-m"]
    with hydra_at():
        if command.value("hydra/sweeper"):
            assert plan_search(overrides).options.n_trials == 2
            return
        cells = plan(overrides).cells
    assert len(cells) == 1 or "-m" in arguments
    if command.value("resume"):
        assert any((folder / cell.id).exists() for cell in cells for folder in (outputs / "sweeps").iterdir())


def test_a_wrong_option_of_a_launcher_would_be_seen(capsys):
    with pytest.raises(SystemExit):
        checked_arguments(["-m", "hydra/launcher=slurm", "hydra.launcher.partitoin=main"])
    assert "hydra.launcher.partitoin" in capsys.readouterr().err


@of("report", "sync")
def test_a_command_about_what_was_trained_is_run(command, outputs):
    done = command.run(changed(command.arguments, {"outputs_dir": outputs}))
    assert (done.returncode, done.stderr) == (0, "")
    said = {"report": "The report: ", "sync": "0 left"}[command.command]
    assert said in done.stdout


@pytest.mark.soak
@of("train")
def test_a_command_that_trains_trains(command, outputs, pictures, tmp_path):
    if is_question(command):
        pytest.skip("it trains nothing")
    if command.value("tracking.uri"):
        pytest.skip("no server is at this address")
    if "resnet" in command.text:
        pytest.skip("ResNet-18 takes minutes; its cells are trained by others of the tests")
    arguments = small(command, outputs if command.value("resume") else tmp_path, pictures)
    if command.launcher in ELSEWHERE:  # here, then
        arguments = [word for word in arguments if not word.startswith(("hydra/launcher", "hydra.launcher"))]
    done = command.run(arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["python -m src.train", "image-sweeps train"])
def test_the_completion_for_bash_completes(form):
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (script,) = [body for language, body in BLOCK.findall(page) if language == "sh"]
    line = f"{form} -m model=cnn_"
    asked = f"COMP_LINE='{line}' COMP_POINT={len(line)}; _image_sweeps; echo \"${{COMPREPLY[@]}}\""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asked}"], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("model=cnn_batch\n", "")


def anchors(page):
    """What headings can be linked by, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def test_the_map_has_every_file_of_the_package_and_no_other():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (tree,) = [body for _, body in BLOCK.findall(page) if body.startswith("src/image_sweeps/")]
    named, folders = set(), []
    for line in tree.splitlines():
        name = line.split()[0]
        folders[(len(line) - len(line.lstrip())) // 2 :] = [name]
        if not name.endswith("/"):
            named.add("".join(folders))
    package = ROOT / "src" / "image_sweeps"
    files = (path for path in package.rglob("*") if path.suffix in (".py", ".css", ".jinja"))
    assert named == {str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
