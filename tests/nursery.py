"""Commands and servers that start at once: a process that has imported what they need forks for each.

To import Gradio takes seconds, and there are dozens of servers. `make prove` starts each as its users do.
"""

import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import IO, Any, TypeAlias

PROVE = bool(os.environ.get("REQSCOPE_TESTS_PROVE"))
"""Whether this is `make prove`."""

IMPORTED = ("gradio", "reqscope.service.standalone", "reqscope.ui", "uvicorn.main", "uvloop", "httptools")


class Child:
    """A process of the nursery, with what tests use of `subprocess.Popen`."""

    def __init__(self, told: socket.socket, stdout: IO[bytes] | None, stderr: IO[bytes] | None) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._told = told.makefile("rb")
        self.pid = int(self._told.readline())
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        self.returncode = int(self._told.readline())

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._waiter.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        for stream in (self.stdout, self.stderr, self._told):
            if stream is not None:
                stream.close()


Process: TypeAlias = "subprocess.Popen[bytes] | Child"


class Nursery:
    """Starts Python modules as `python -m` does, in processes that come with their imports done."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def start(
        self, arguments: Sequence[str], stdin: int, stdout: int, stderr: int, environment: Mapping[str, str], cwd: Path
    ) -> Child:
        """Run a module with arguments. Streams are as for `subprocess.Popen`."""
        job = {"arguments": arguments, "env": environment, "cwd": str(cwd)}
        told, tell = socket.socketpair()
        ours, theirs = zip(*(_stream(each) for each in (stdout, stderr)), strict=True)
        null = os.open(os.devnull, os.O_RDONLY)
        given = [null if stdin == subprocess.DEVNULL else stdin, *theirs, tell.fileno()]
        socket.send_fds(self._channel, [json.dumps(job).encode()], given)
        tell.close()
        for fd in (null, *theirs):
            os.close(fd)
        with told:
            return Child(told, *ours)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


def _stream(wanted: int) -> tuple[IO[bytes] | None, int]:
    """Return our end of a stream, if it has one, and the child's."""
    if wanted == subprocess.PIPE:
        ours, theirs = os.pipe()
        return os.fdopen(ours, "rb"), theirs
    return None, os.open(os.devnull, os.O_WRONLY) if wanted == subprocess.DEVNULL else os.dup(wanted)


_nursery = functools.cache(Nursery)


def start(
    *arguments: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a Python module with its arguments. Streams are as for `subprocess.Popen`."""
    environment = {**os.environ, **(env or {})}
    if PROVE:
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, cwd=cwd)
    return _nursery().start(arguments, stdin, stdout, stderr, environment, cwd or Path.cwd())


def run(*arguments: str, typed: str = "", timeout: float = 60, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a Python module to its end, and return what it printed."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(typed.encode())
        stdin.seek(0)
        options |= {"stdin": stdin.fileno(), "stdout": stdout.fileno(), "stderr": stderr.fileno()}
        with start(*arguments, **options) as process:
            try:
                status = process.wait(timeout)
            finally:
                process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, status, stdout.read().decode(), stderr.read().decode())


def close() -> None:
    """End what waits for more to start."""
    if _nursery.cache_info().currsize:
        _nursery().close()


def spare_the_collector() -> None:
    """Have garbage collections pass over what was imported: it is much, it stays, and each took a fifth of a second."""
    gc.collect()
    gc.freeze()


def quicken_panels() -> bool:
    """Have Gradio, where it was imported, make two applications for a panel: the one it asks, and the one it mounts.

    It makes four, a tenth of a second each, and drops two of them before anybody sees them. `make prove` lets it.
    Returns whether this call did it.
    """
    blocks: Any = sys.modules.get("gradio.blocks")
    if PROVE or blocks is None or isinstance(blocks.App, SimpleNamespace):
        return False
    make = blocks.App.create_app

    def make_the_last(page: Any, **options: Any) -> Any:
        return make(page, **options) if getattr(page, "exited", False) else None

    blocks.App = SimpleNamespace(create_app=make_the_last)
    return True


def main(channel: socket.socket) -> None:
    """Import what takes long, and fork for each job, until the channel is closed."""
    for module in IMPORTED:
        __import__(module)
    quicken_panels()
    spare_the_collector()  # or each child would copy all of it, just to take it apart at its end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        job, fds, _, _ = socket.recv_fds(channel, 1 << 20, 4)
        if not job:
            return
        if os.fork() == 0:
            channel.close()
            *streams, tell = fds
            keep(json.loads(job), streams, tell)
            return
        for fd in fds:
            os.close(fd)


def keep(job: dict[str, Any], streams: list[int], tell: int) -> None:
    """Have a child do the job, and tell its id and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.close(tell)
        do(job, streams)
        return
    for fd in streams:
        os.close(fd)
    os.write(tell, b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def do(job: dict[str, Any], streams: list[int]) -> None:
    """Be what `python -m` would have started. How that ends is how this process ends."""
    for standard, fd in enumerate(streams):
        os.dup2(fd, standard)
        os.close(fd)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    module, *sys.argv[1:] = job["arguments"]
    sys.path[0] = job["cwd"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
