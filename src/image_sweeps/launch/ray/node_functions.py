"""The functions that are sent to the nodes of a Ray cluster by value, to work without a copy of this project there.

These functions therefore use only Python's standard library and each other.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NodeRequirements:
    """The properties that a node must share with the machine on which the sweep was started.

    Attributes:
        project: the folder that contains this project's package.
        digest: the digest of the project's code.
        folder: the folder where the sweep was started.
        outputs_dir: the folder that contains the cells' folders.
        token: the name of a file in `outputs_dir`.
        content: the content of that file.
        versions: the versions of the packages that a result depends on, by name.
    """

    project: str
    digest: str
    folder: str
    outputs_dir: str
    token: str
    content: str
    versions: dict[str, str]


def call(project: str, folder: str, name: str, *arguments: Any) -> Any:
    """Call a function of `launch.ray.worker` in `folder`, to which `outputs_dir` and `data_dir` may be relative.

    The project is first added to the import path, because the node's Python does not know its location.
    """
    os.chdir(folder)
    if project not in sys.path:
        sys.path.insert(0, project)
    return getattr(importlib.import_module("image_sweeps.launch.ray.worker"), name)(*arguments)


def check_node(home: dict[str, Any]) -> list[str]:
    """Return the reasons why this node cannot run cells; `home` has the fields of `NodeRequirements`."""
    return [
        *_outputs_problems(Path(home["outputs_dir"]), home["token"], home["content"]),
        *_project_problems(Path(home["project"]), home["digest"], Path(home["folder"])),
        *_version_problems(home["versions"]),
    ]


def digest(project: Path) -> str:
    """Return the SHA-256 digest of the project's code, as a hexadecimal string."""
    found = hashlib.sha256()
    for path in sorted(project.glob("image_sweeps/**/*.py")):
        found.update(str(path.relative_to(project)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _outputs_problems(folder: Path, token: str, content: str) -> Iterator[str]:
    try:
        if (folder / token).read_text() != content:
            raise FileNotFoundError
    except OSError:
        yield f"does not see the sweep's outputs_dir, {folder}: it has to be on a disk that all nodes share"
        return
    answer = folder / f"{token}.{os.getpid()}"
    try:
        answer.touch()
        answer.unlink(missing_ok=True)
    except OSError as error:
        yield f"cannot write into outputs_dir, {folder} ({error.strerror}): its cells have to"


def _project_problems(project: Path, expected: str, folder: Path) -> Iterator[str]:
    if not (project / "image_sweeps" / "train.py").exists():
        yield f"has no copy of this project in {project}"
    elif digest(project) != expected:
        yield f"has other code than this machine in {project}"
    if not folder.is_dir():
        yield f"has no folder {folder}, where the sweep was started"


def _version_problems(expected: Mapping[str, str]) -> Iterator[str]:
    for name, here in expected.items():
        try:
            there = version(name)
        except PackageNotFoundError:
            yield f"has no {name}; this machine has {here}"
            continue
        if there != here:
            yield f"has {name} {there}, and this machine {here}: results depend on it"
