"""What proves the project: `nox` runs lint, types, tests and soak; `nox -s bench` measures."""

import os

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "soak"]

WORKERS = min(12, (os.cpu_count() or 1) + 1)
"""One more than cores: some of what is tested waits, for a scheduler's queue, a server, a process that is to end."""

SIDE_BY_SIDE = ("-n", str(WORKERS), "--no-loadscope-reorder")
"""What pytest-xdist takes; groups of tests (tests/conftest.py) begin in the order in which they were collected."""


@nox.session
def tests(session: nox.Session) -> None:
    """Every promise once; `nox -s tests -- tests/fit -k name` for a part of it, in one process."""
    session.install("-e", ".[dev]")
    session.run("pytest", *(session.posargs or SIDE_BY_SIDE))


@nox.session
def soak(session: nox.Session) -> None:
    """The same promises at length: kills at every system call, long fuzzing, many writers, ten real gigabytes.

    `SOAK_DEPTH=10 nox -s soak` goes ten times as deep.
    """
    session.install("-e", ".[dev]")
    deep = {"SOAK_DEPTH": os.environ.get("SOAK_DEPTH", "1")}
    session.run("pytest", "-m", "soak or deep", *(session.posargs or SIDE_BY_SIDE), env=deep)
    if not session.posargs:
        session.install("optuna<5")  # the other one that is supported
        session.run("pytest", "tests/search")


@nox.session
def lint(session: nox.Session) -> None:
    session.install("ruff>=0.15", "import-linter>=2.1")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    session.install("-e", ".", "mypy>=1.18", "nox")
    session.run("mypy")


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what is installed. Asks a service on the network, so that it is no default session."""
    session.install("-e", ".", "pip-audit>=2.7")
    session.run("pip-audit", "--skip-editable", "--progress-spinner", "off", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """How fast, against a notebook-style loop and a bare one; `nox -s bench -- --help` for what can be chosen."""
    session.install("-e", ".")
    session.run("python", "-m", "tests.bench", *session.posargs)
