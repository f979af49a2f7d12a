"""`reqscope observe`: runs a command that loads an application, and brackets it as a run."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from reqscope.bus.visible import visible
from reqscope.service.unreachable import reason

from .figures import duration, number, share
from .model import Run, decode_run
from .thresholds import BREACHED

_LOOK_EVERY: Final = 0.5
_WITHIN: Final = 30.0
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_KNOWN: Final = ("ab", "hey", "oha", "siege", "wrk", "k6", "vegeta", "jmeter")
_CANNOT_RUN: Final = 126
_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128


class ObserveError(Exception):
    """Why the run cannot be observed. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and what to hold it to."""

    command: Sequence[str]
    url: str
    """Where the panel is, such as `http://127.0.0.1:7860`."""
    label: str = ""
    thresholds: Sequence[str] = ()
    baseline: str = ""
    abort_on_fail: bool = False
    abort_after: float = 0.0
    """Seconds that thresholds may be breached in, before that ends the command."""
    only_marked: bool = False
    token: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of it."""

    run: Run
    exit_status: int
    """Of the command, as a shell has it: 128 and the signal's number where a signal ended it."""
    aborted: bool

    @property
    def status(self) -> int:
        """The exit status for a gate: 99 when a threshold was breached, otherwise the command's."""
        return BREACHED if self.run.verdict == "failed" else self.exit_status


def observe(plan: Plan, say: Callable[[str], None]) -> Observed:
    """Run the command, and return the run once both have ended.

    The command gets `REQSCOPE_RUN`, the id of the run, in its environment, and this terminal. Ctrl-C reaches it as it
    would without Reqscope; the run ends when it does. A live line is on standard error, if that is a terminal.

    :param say: called with what whoever waits is to know
    :raises ObserveError: the server cannot be reached or refuses, or the command cannot be started
    """
    with _client(plan) as client:
        run_id = _begin(client, plan)
        status, aborted = _CANNOT_RUN, False
        try:
            status, aborted = _run(client, plan, run_id, say)
        finally:
            _call(client, "POST", f"/api/runs/{run_id}/end", {"exit_status": status})
        return Observed(decode_run(_call(client, "GET", f"/api/runs/{run_id}").content), status, aborted)


def progress_line(seconds: float, progress: dict[str, Any], before: dict[str, Any] | None, width: int) -> str:
    """Return what is shown while the command runs: rate since the last look, p95 and errors so far.

    :param width: columns of the terminal
    """
    requests = progress["requests"] - (before["requests"] if before else 0)
    rate = requests / _LOOK_EVERY if before else progress["rate"]
    failing = [each["threshold"] for each in progress["results"] if each["judgement"] == "failed"]
    parts = [
        f"{seconds:5.1f} s",
        f"{number(rate)} requests/s",
        f"p95 {duration(progress['p95'])}",
        f"errors {share(progress['errors'], progress['requests'])}",
        f"{number(progress['requests'])} in all",
        *([f"breached: {visible(', '.join(failing))}"] if failing else []),
    ]
    return "  ".join(parts)[: max(1, width - 1)]


def _run(client: httpx.Client, plan: Plan, run_id: str, say: Callable[[str], None]) -> tuple[int, bool]:
    try:
        process = subprocess.Popen(plan.command, env={**os.environ, "REQSCOPE_RUN": run_id})
    except FileNotFoundError:
        raise ObserveError(f"there is no command {visible(plan.command[0])}: is it installed?") from None
    except OSError as error:
        raise ObserveError(f"cannot run {visible(plan.command[0])}: {error.strerror}") from None
    watch = _Watch(client, plan, run_id, process, say)
    with process, _passing_signals_to(process):
        watch.run()
    code = process.returncode
    return (_SIGNALLED - code if code < 0 else code), watch.aborted


class _Watch:
    """Shows how a run goes while its command does, and ends that if a threshold is breached."""

    def __init__(
        self,
        client: httpx.Client,
        plan: Plan,
        run_id: str,
        process: subprocess.Popen[bytes],
        say: Callable[[str], None],
    ) -> None:
        self._client, self._plan, self._run, self._process, self._say = client, plan, run_id, process, say
        self._terminal = sys.stderr.isatty()
        self._before: dict[str, Any] | None = None
        self.aborted = False

    def run(self) -> None:
        """Return once the command has ended."""
        began = time.monotonic()
        looks = self._terminal or self._plan.abort_on_fail
        while True:
            try:
                self._process.wait(_LOOK_EVERY if looks else None)
                break
            except subprocess.TimeoutExpired:
                self._look(time.monotonic() - began)
        if self._terminal:
            self._write("")

    def _look(self, seconds: float) -> None:
        try:
            now = _call(self._client, "GET", f"/api/runs/{self._run}/progress").json()
        except ObserveError as error:  # the command is to go on; whether the run can be had shows at its end
            self._write(visible(str(error)))
            return
        if self._terminal:
            self._write(progress_line(seconds, now, self._before, _columns()))
        self._before = now
        failing = [each for each in now["results"] if each["judgement"] == "failed" and now["requests"]]
        if self._plan.abort_on_fail and failing and seconds >= self._plan.abort_after and not self.aborted:
            self.aborted = True
            self._say(f"{failing[0]['threshold']} is breached: {failing[0]['detail']}. Ending the command.")
            self._process.send_signal(signal.SIGINT)
            threading.Timer(5.0, self._insist).start()

    def _insist(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def _write(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def _columns() -> int:
    return os.get_terminal_size(sys.stderr.fileno()).columns or 80  # 0 where the terminal does not know


@contextmanager
def _passing_signals_to(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Let the command decide what Ctrl-C and SIGTERM mean, and go on until it has ended."""
    from_terminal = sys.stdin.isatty()

    def handle(number: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the whole group: the command has it already, and twice may mean something else.
        if number == signal.SIGTERM or not from_terminal:
            process.send_signal(number)

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, previous in before.items():
            signal.signal(each, previous)


def _begin(client: httpx.Client, plan: Plan) -> str:
    tool = Path(plan.command[0]).name
    asked = {
        "label": plan.label,
        "tool": tool if tool in _KNOWN else "",
        "command": shlex.join(plan.command)[:4_000],
        "origin": "observe",
        "thresholds": list(plan.thresholds),
        "baseline": plan.baseline,
        "only_marked": plan.only_marked,
    }
    run_id: str = _call(client, "POST", "/api/runs", asked).json()["id"]
    return run_id


def _client(plan: Plan) -> httpx.Client:
    parts = urlsplit(plan.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ObserveError(f"{visible(plan.url)} is not an address; one looks like http://127.0.0.1:7860")
    headers = {"authorization": f"Bearer {plan.token}"} if plan.token else {}
    return httpx.Client(
        base_url=plan.url.rstrip("/"), headers=headers, timeout=_WITHIN, trust_env=parts.hostname not in _LOCAL
    )


def _call(client: httpx.Client, method: str, path: str, content: object = None) -> httpx.Response:
    try:
        answer = client.request(method, path, json=content)
    except httpx.HTTPError as error:
        raise ObserveError(
            f"no Reqscope answers at {client.base_url} ({reason(error)}); start one with "
            "`reqscope run module:app`, or say where its panel is with --url"
        ) from None
    if answer.status_code >= 400:
        raise ObserveError(_reason(answer))
    if "json" not in answer.headers.get("content-type", ""):
        raise ObserveError(f"what answers at {client.base_url} is no Reqscope panel; say where that is with --url")
    return answer


def _reason(answer: httpx.Response) -> str:
    try:
        return visible(str(answer.json()["detail"]))
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code}"
