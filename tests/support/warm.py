"""The commands of this project, each in a process of its own that is forked from one that has imported everything.

`python -m src.train` takes three seconds to start, and five more until its fork server can start a cell. Here, one
process for the whole run of the tests pays for both:

    done = run("-m", "seed=0,1", f"outputs_dir={tmp_path}")      as `python -m src.train -m seed=0,1 ...`
    process = start("epochs=1000", f"outputs_dir={tmp_path}")    goes on; takes signals, and can be killed

What comes of it is what `python -m` gives, but for two things. Imports have been done, so that a test of what is
imported, or of what happens when something cannot be, starts a process of its own. And cells are children of a fork
server that all commands share: they are in another process group, and see another environment. Where a test gives one,
or needs a process group as a terminal has it, its command is started cold.
"""

import atexit
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

from filelock import FileLock

from tests.support.waiting import until

ROOT = Path(__file__).parent.parent.parent
TESTS = int(os.environ.setdefault("TESTS_PID", str(os.getpid())))
"""The process that all workers of this run of the tests have in common, at whose end everything ends."""

ADDRESS = Path(tempfile.gettempdir()) / f"image-sweeps-warm-{TESTS}"
DEADLINE_S = 300
LENGTH_BYTES = 8


def start(*arguments, module="src.train", cwd=ROOT, cold=False, **environment):
    """Start a command. Returns a process as `subprocess.Popen` has them, in a session of its own, with pipes.

    Args:
        arguments: of the command.
        module: that `python -m` would run.
        cwd: the folder that it starts in.
        cold: whether it is a process that shares nothing.
        environment: more of it; such a command is started cold.
    """
    if not cold and not environment and sys.platform == "linux":
        return Forked(module, [str(argument) for argument in arguments], cwd)
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*arguments, timeout_s=DEADLINE_S, **settings):
    """Run a command to its end, as `start` starts it. Returns a `subprocess.CompletedProcess`."""
    with start(*arguments, **settings) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


class Forked:
    """A command that runs: what tests use of `subprocess.Popen`.

    Attributes:
        pid: of the process, which leads a session and a process group.
        returncode: None as long as it runs; -N where signal N has ended it.
        stdout: what it writes there, as text; and
        stderr: there.
    """

    def __init__(self, module, arguments, cwd):
        self.returncode = None
        self.args = ["python", "-m", module, *arguments]
        out, err = os.pipe(), os.pipe()
        self.stdout, self.stderr = (os.fdopen(reader, encoding="utf-8") for reader, _ in (out, err))
        self._server = _connection()
        request = {"module": module, "arguments": arguments, "cwd": str(cwd), "environment": dict(os.environ)}
        content = json.dumps(request).encode("utf-8", "surrogateescape")
        writers = [writer for _, writer in (out, err)]
        socket.send_fds(self._server, [len(content).to_bytes(LENGTH_BYTES)], writers)
        self._server.sendall(content)
        for writer in writers:
            os.close(writer)
        self.pid = json.loads(self._server.recv(64))

    def poll(self):
        return self._wait(0)

    def wait(self, timeout=None):
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        said = {}
        readers = [
            threading.Thread(target=lambda pipe=pipe: said.update({pipe: pipe.read()}), daemon=True)
            for pipe in (self.stdout, self.stderr)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if deadline is None else max(0, deadline - time.monotonic()))
        if any(reader.is_alive() for reader in readers):
            raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if deadline is None else max(0, deadline - time.monotonic()))
        return said[self.stdout], said[self.stderr]

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()  # a command that goes on for ever would keep the error from being seen
        self.wait()
        self.stdout.close()
        self.stderr.close()

    def _wait(self, timeout):
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = json.loads(self._server.recv(64))
            except (TimeoutError, BlockingIOError):
                return None
            self._server.close()
        return self.returncode


def _connection():
    """To the server, which the first to ask for it starts."""
    with FileLock(f"{ADDRESS}.lock"):
        if (connection := _connected()) is None:
            ADDRESS.unlink(missing_ok=True)  # of a server that was killed
            command = [sys.executable, "-m", "tests.support.warm", str(ADDRESS), str(TESTS)]
            nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            server = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **nowhere)
            connection = until(lambda: _connected() or server.poll() is not None, "warm processes", DEADLINE_S)
            assert server.poll() is None, "the server of warm processes could not be started"
            server.returncode = 0  # it outlives this process, which is not to wait for it
    return connection


def _connected():
    """A connection, or None where nobody listens."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(ADDRESS))
    except OSError:
        connection.close()
        return None
    return connection


# --- the server -------------------------------------------------------------------------------------------------------


def serve(address, tests):
    """Fork a process for each connection, and say how it ended, for as long as the process `tests` lives.

    Returns, in such a process: what it is to do.
    """
    with selectors.DefaultSelector() as events, socket.socket(socket.AF_UNIX) as listening:
        events.register(os.pidfd_open(tests), selectors.EVENT_READ, None)
        listening.bind(f"{address}.unfinished")
        listening.listen(64)
        Path(f"{address}.unfinished").rename(address)
        events.register(listening, selectors.EVENT_READ, None)
        while True:
            for key, _ in events.select():
                if key.fileobj is listening:
                    connection, _ = listening.accept()
                    request = json.loads(_receive(connection))
                    pid = os.fork()
                    if pid == 0:
                        return request
                    for pipe in request["pipes"]:
                        os.close(pipe)
                    connection.sendall(json.dumps(pid).encode())
                    events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                elif key.data is None:
                    for left in (address, f"{address}.lock"):
                        Path(left).unlink(missing_ok=True)
                    os._exit(0)
                else:
                    pid, connection = key.data
                    _, status = os.waitpid(pid, 0)
                    with suppress(OSError):  # whoever asked may be gone
                        connection.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())
                    connection.close()
                    events.unregister(key.fileobj)
                    os.close(key.fileobj)


def _receive(connection):
    """A request, with the pipes that came along."""
    head, pipes, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 2)
    length, content = int.from_bytes(head), b""
    while len(content) < length:
        content += connection.recv(length - len(content))
    return json.dumps({**json.loads(content), "pipes": pipes})


def become(request):
    """Be `python -m` with this module and these arguments. This is the whole life of the process."""
    os.setsid()
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, pipe in enumerate(request["pipes"], start=1):
        os.dup2(pipe, number)
        os.close(pipe)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    sys.orig_argv[:] = [sys.executable, "-m", request["module"], *request["arguments"]]
    warnings.filterwarnings("ignore", ".* found in sys.modules after import of package")
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def prepare():
    """Import what a command and a cell need, and start the fork server of cells."""
    from image_sweeps.launch import fork_server, preload

    assert preload
    atexit.unregister(os._exit)  # the preloading is a fork server's, which has nothing else to do at its end
    fork_server.start()
    for ours in (forkserver, forkserver._forkserver):
        ours.ensure_running = lambda: None  # it runs, as nobody's child but this process's


if __name__ == "__main__":
    prepare()
    become(serve(sys.argv[1], int(sys.argv[2])))
