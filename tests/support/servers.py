"""Real servers on loopback: MLflow's, a PostgreSQL below it, and what stands between them and fails."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.waiting import until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, path="/"):
    """Whether a server there is up."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False


class Server:
    """`mlflow server`, which can be killed and started again at the same address.

    Args:
        folder: where its artifacts are, and its database, unless
        database: is the URI of another, and
        artifacts: says where else they are.
        environment: more of it.
    """

    def __init__(self, folder, database=None, artifacts=None, **environment):
        self.folder, self.port = folder, free_port()
        self.database = database or f"sqlite:///{folder}/server.db"
        self.artifacts = artifacts or folder / "artifacts"
        self.environment = environment
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", self.database, "--artifacts-destination", str(self.artifacts)]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **self.environment}
        environment.pop("MLFLOW_TRACKING_URI", None)
        self.log = (self.folder / "server.log").open("a")
        self.process = subprocess.Popen(
            [*command, "--workers", "1"], env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )
        until(self.answers, f"a server at {self.uri}; it says {(self.folder / 'server.log').read_text()[-2000:]}")

    def answers(self):
        return answers(self.port, "/health")

    def kill(self):
        """As when its machine dies."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.log.close()
            self.process = None


@contextmanager
def serving(folder, database=None, artifacts=None, **environment):
    server = Server(folder, database, artifacts, **environment)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Postgres:
    """A PostgreSQL of its own.

    Its folder is none of pytest's: these are closed to other users, and it is another where the tests run as root.
    """

    PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

    @classmethod
    def missing(cls):
        """Why there can be none here, or None."""
        if not cls.PROGRAMS:
            return "PostgreSQL is not installed (Debian: postgresql)"
        try:
            import psycopg  # noqa: F401
        except ImportError:
            return "psycopg is not installed"
        if os.getuid() == 0 and not shutil.which("runuser"):
            return "PostgreSQL does not run as root, and there is no runuser"
        return None

    def __init__(self):
        self.place = TemporaryDirectory()
        self.folder, self.port = Path(self.place.name), free_port()
        self.uri = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        utf8 = ("--encoding=UTF8", "--locale=C")  # in LC_ALL=C it would be SQL_ASCII, whose text psycopg gives as bytes
        self._run("initdb", "-D", self.folder / "data", "-U", "tester", "--auth=trust", "--no-sync", *utf8)

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    def remove(self):
        if (self.folder / "data" / "postmaster.pid").exists():  # a test that failed may have left it stopped
            self.stop()
        self.place.cleanup()

    def _run(self, program, *arguments):
        before = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*before, self.PROGRAMS[-1] / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )


class Breaking:
    """A way to a server on which requests are lost, or their answers.

    Attributes:
        loses: asked of every message whether it is lost; at first, none is.
        answer_lost: whether the server gets the request and acts on it; who asked cannot know.
        lost: the messages that were, and
        passed: those that were not, in the order in which they came.
    """

    def __init__(self, port):
        self.loses, self.answer_lost = lambda message: False, False
        self.lost, self.passed = [], []
        way = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or else every answer waits 40 ms for the head of it to be acknowledged

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                message = Message(self.command, self.path, body)
                lost = way.loses(message)
                (way.lost if lost else way.passed).append(message)
                if lost and not way.answer_lost:
                    return self.hang_up()
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    response = connection.getresponse()
                    content = response.read()
                if lost:
                    return self.hang_up()
                self.send_response(response.status)
                self.send_header("Content-Type", response.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return None

            def hang_up(self):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815, http.server's names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@dataclass(frozen=True)
class Message:
    """A request: the same again is equal."""

    method: str
    path: str
    body: bytes


class ObjectStore:
    """Buckets as Amazon's S3 has them (`moto`), behind a key that clients of the tracking server do not have."""

    @classmethod
    def missing(cls):
        """Why there can be none here, or None."""
        return None if find_spec("moto") and find_spec("boto3") else "moto is not installed"

    def __enter__(self):
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.uri = f"http://127.0.0.1:{port}"
        self.access = {
            "MLFLOW_S3_ENDPOINT_URL": self.uri,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "not-for-clients",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        until(lambda: answers(port), f"an object store at {self.uri}")
        self.client.create_bucket(Bucket="sweeps")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    @property
    def client(self):
        import boto3

        access = {
            key.lower(): value for key, value in self.access.items() if key.startswith("AWS_") and "REGION" not in key
        }
        return boto3.client("s3", endpoint_url=self.uri, region_name=self.access["AWS_DEFAULT_REGION"], **access)

    def names(self):
        """Of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="sweeps")
        return [found["Key"] for page in pages for found in page.get("Contents", ())]
