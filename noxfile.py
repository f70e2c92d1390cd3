"""What proves the project: `nox` runs tests, lint and types; `nox -s bench` measures."""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; `nox -s tests -- -k name` for a part of it."""
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)
    if not session.posargs:
        session.install("optuna<5")  # the other one that is supported
        session.run("pytest", "tests/search")


@nox.session
def lint(session: nox.Session) -> None:
    session.install("ruff>=0.15")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


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
