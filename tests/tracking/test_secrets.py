"""What is secret goes nowhere."""

import zipfile

import pytest

from tests.support import warm
from tests.support.tracked import TINY

GROUP = "server"
SECRETS = ("hunter2", "alice-in-secret", "token-1f2e3d4c")


def bytes_below(folder):
    """All that was written, file by file; archives member by member."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from ((path, archive.read(name)) for name in archive.namelist())


def test_a_password_in_the_servers_address_reaches_nothing_that_is_written(server, tmp_path, monkeypatch):
    address = server.uri.replace("http://", "http://alice-in-secret:hunter2%2Fwith%25slash@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[2])
    monkeypatch.setenv("GITHUB_TOKEN", SECRETS[2])
    where = (f"outputs_dir={tmp_path / 'outputs'}", "tracking.experiment=secret")
    done = warm.run("-m", *where, *TINY, "epochs=1", cold=True)  # so that its cells see the environment
    assert done.returncode == 0, done.stderr
    again = warm.run("sweep=last", where[0], module="src.report")
    assert again.returncode == 0, again.stderr
    told = [("the terminal", text.encode()) for text in (done.stdout, done.stderr, again.stdout, again.stderr)]
    written = [*bytes_below(tmp_path), *bytes_below(server.folder), *told]
    assert len(written) > 50
    for place, content in written:
        for secret in SECRETS:
            assert secret.encode() not in content, (place, secret)


@pytest.mark.parametrize("flags", [("-m",), ()])
def test_a_password_in_a_configuration_is_refused_and_not_repeated(tmp_path, flags):
    done = warm.run(*flags, f"outputs_dir={tmp_path}", "tracking.uri='http://alice:hunter2@127.0.0.1:9'", "epochs=-1")
    assert done.returncode == 2
    assert "tracking.uri: has a user name or password in it" in done.stderr
    assert "MLFLOW_TRACKING_PASSWORD" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
