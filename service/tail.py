"""`reqscope tail`: what a running Reqscope sees, in a terminal or a pipe."""

import os
import random
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import httpx
import msgspec
from httpx_sse import EventSource, ServerSentEvent

from reqscope.bus.visible import visible

from .unreachable import reason

Render: TypeAlias = Callable[[dict[str, Any]], str]
Say: TypeAlias = Callable[[str], None]

_STDOUT: Final = 1
_CONNECT_WITHIN: Final = 5.0
_SILENT_FOR: Final = 40.0
"""Seconds without a sign of life, of which the server sends one every 15, after which a connection is given up."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
_WANTS_SIGN_IN: Final = (301, 302, 303, 307, 308, 401, 403)
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class TailError(Exception):
    """Why nothing can be shown. The message says what to do."""


class _Dropped(Exception):
    """There is no connection, or none any more. Trying again may help."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to show, and from where.

    :raises TailError: the address is none
    """

    url: str
    """Where the panel is, such as `http://127.0.0.1:7860` or `https://shop.example/reqscope`."""
    filter: str
    lines: int
    """How many events to begin with that were there before."""
    follow: bool
    token: str = ""

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise TailError(f"{visible(self.url)} is not an address; one looks like http://127.0.0.1:7860")


def tail(source: Source, render: Render, say: Say) -> None:
    """Write events to standard output until there are no more, or, following, until the process is ended.

    Ctrl-C ends the process at once, also while a write waits for its reader, and as a signal, so that a shell's loop
    ends too. A reader that goes away ends it with status 0, and need not wait for another event to do so.

    :param say: called with what whoever reads the events is to know beside them
    :raises TailError: the server cannot be reached to begin with, or refuses
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _end_with_reader()
    try:
        _Tail(source, render, say).run()
    except BrokenPipeError:
        os._exit(0)  # what Python would flush at its exit has nowhere to go


class _Tail:
    def __init__(self, source: Source, render: Render, say: Say) -> None:
        self._source = source
        self._render = render
        self._say = say
        self._position = ""
        """Id of how far the stream has come: where the next connection goes on from."""
        self._lost = False
        self._pause = _FIRST_PAUSE

    def run(self) -> None:
        source = self._source
        with httpx.Client(
            headers={"authorization": f"Bearer {source.token}"} if source.token else {},
            timeout=httpx.Timeout(_SILENT_FOR, connect=_CONNECT_WITHIN),
            trust_env=urlsplit(source.url).hostname not in _LOCAL,  # a proxy does not reach what is on this machine
        ) as client:
            while True:
                try:
                    self._read(client)
                    reason = "the server ended the stream"
                except _Dropped as dropped:
                    if not self._position:
                        raise TailError(_nobody(source.url, dropped)) from None
                    reason = str(dropped)
                else:
                    if not source.follow:
                        return
                self._wait(reason)

    def _read(self, client: httpx.Client) -> None:
        """Write what one connection brings."""
        source = self._source
        address = f"{source.url.rstrip('/')}/api/events/stream"
        query = {"filter": source.filter, "backfill": str(source.lines), "follow": str(source.follow).lower()}
        headers = {"accept": "text/event-stream", "last-event-id": self._position}
        try:
            with client.stream("GET", address, params=query, headers=headers) as response:
                self._check(response)
                self._found()
                for message in EventSource(response).iter_sse():
                    self._take(message)
        except httpx.ReadTimeout:
            raise _Dropped(f"nothing came for {_SILENT_FOR:.0f} s") from None
        except httpx.TransportError as error:
            raise _Dropped(reason(error)) from None

    def _check(self, response: httpx.Response) -> None:
        url, status = self._source.url, response.status_code
        if status == 200 and response.headers.get("content-type", "").startswith("text/event-stream"):
            return
        if status >= 500:
            raise _Dropped(f"it answers {status} {response.reason_phrase}")
        if status in _WANTS_SIGN_IN:
            raise TailError(f"{url} asks who you are (it answers {status}); pass --token, or set REQSCOPE_TOKEN")
        response.read()
        raise TailError(_refusal(url, response.status_code, response.content))

    def _found(self) -> None:
        if self._lost:
            self._say("connected again")
        self._lost, self._pause = False, _FIRST_PAUSE

    def _wait(self, reason: str) -> None:
        if not self._lost:
            self._say(f"{reason}; connecting again …")
        self._lost = True
        time.sleep(self._pause * random.uniform(0.5, 1))  # so that not all come at once to a server that starts
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _take(self, message: ServerSentEvent) -> None:
        try:
            content = msgspec.json.decode(message.data, type=dict[str, Any]) if message.data else {}
        except msgspec.DecodeError:
            raise TailError(f"{self._source.url} streams something else than events") from None
        if message.event == "gap":
            self._say(_gap(content))
        elif content:
            _write(self._render(content))
        self._position = message.id or self._position


def _write(line: str) -> None:
    # Each by itself: one that waited for company would be late, and the system call costs little beside the rest.
    out = sys.stdout.buffer
    out.write(line.encode("utf-8", "backslashreplace") + b"\n")
    out.flush()


def _gap(gap: dict[str, Any]) -> str:
    missed = gap.get("missed", 0)
    events = "1 event was" if missed == 1 else f"{missed} events were"
    if not gap.get("restarted"):
        return f"gap: {events} missed, for which the server has no room any more"
    since = f", and {events} missed since" if missed else ""
    return f"gap: the server was restarted; nobody knows what it saw in the end{since}"


def _nobody(url: str, dropped: _Dropped) -> str:
    return (
        f"nothing to read at {url}: {dropped}.\n"
        "Start `reqscope serve`, `reqscope run module:app` or `reqscope demo`, or name another panel with --url."
    )


def _refusal(url: str, status: int, body: bytes) -> str:
    try:
        detail = msgspec.json.decode(body, type=dict[str, Any])["detail"]
    except (msgspec.DecodeError, KeyError):
        detail = None
    if status == 404 or detail is None:
        return (
            f"there is no panel at {url} (it answers {status}).\n"
            "Its port is not that of the API, and it may be below a path, as in http://127.0.0.1:8000/reqscope."
        )
    return f"{url} refuses: {visible(str(detail))}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or beyond the last
        return False


def _end_with_reader() -> None:
    """End the process when whoever reads its standard output goes away, as `head` does."""
    mode = os.fstat(_STDOUT).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    poll = select.poll()
    poll.register(_STDOUT, 0)  # errors and the end of the other side are told in any case

    def watch() -> None:
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="reqscope reader", daemon=True).start()
