"""Sends a captured request to the monitored application once more, as it was or edited."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import anyio
import httpx

from reqscope.bus import Event, EventBus
from reqscope.bus.resend import CannotCopyError

from .draft import Draft, DraftError, Edited, Outgoing, draft, outgoing
from .replay_marks import HEADER, Marks
from .replay_rules import ReplayRules
from .routes import below_root

TIMEOUT: Final = 30.0
"""Seconds for a whole response. Who wants to wait longer sees the request in the panel."""

_SETTLE: Final = 0.5
"""Seconds for an application that has answered to return, or to raise what the event is to tell of."""

NO_APPLICATION: Final = (
    "there is no application to send it to: this is a collector, and what reports to it runs in other processes"
)

Scope = Mapping[str, Any]


class Replayed(NamedTuple):
    """What came of it."""

    id: str | None
    """Of the event that capture made of it; None if it could not capture it."""
    status: int
    seconds: float
    """Until its last byte, as the sender saw it."""


class ReplayError(Exception):
    """Nothing was sent, or no response came. The message says why, in one sentence.

    :ivar status: the HTTP status that says the same
    :ivar masks: the digits of masks that nobody said the meaning of
    """

    def __init__(self, status: int, message: str, masks: list[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.masks = masks or []


class Replay:
    """The way back into the application, for those requests that `rules` allow, and to nowhere else.

    :param transport: makes what reaches the application, and can reach nothing else
    :param base_url: the application's address
    :param marks: by which capture knows what was sent from here
    :param ignored: path prefixes that are not the application's
    """

    def __init__(
        self,
        bus: EventBus,
        marks: Marks,
        rules: ReplayRules,
        transport: Callable[[], httpx.AsyncBaseTransport],
        base_url: str,
        *,
        ignored: tuple[str, ...] = (),
        timeout: float = TIMEOUT,
    ) -> None:
        self.rules = rules
        self._bus = bus
        self._marks = marks
        self._transport = transport
        self._base_url = base_url
        self._ignored = ignored
        self._timeout = timeout

    def draft(self, event_id: str) -> Draft:
        """Return the request of an event as a form to edit, whether or not it is allowed as it stands.

        :raises ReplayError: replay is off, the ring has evicted the event, or it cannot be sent again
        """
        event = self._find(event_id)
        try:
            return draft(event, self._base_url)
        except CannotCopyError as error:
            raise ReplayError(409, str(error)) from None

    async def send(self, event_id: str, edited: Edited, scope: Scope) -> Replayed:
        """Send the request of an event, edited, and read the whole response.

        Cancelled, it goes away as a client does that was closed; the application may have done its work all the same.

        :param scope: what an application that is called in this process is to find in its scope
        :raises ReplayError: it is not allowed, not complete, or was not answered
        """
        captured = self.draft(event_id)
        try:
            request = outgoing(captured, edited)
        except DraftError as error:
            raise ReplayError(422, str(error), error.masks) from None
        self.check(request.method, request.target.decode("ascii"), scope)
        with self._marks.expecting(event_id) as mark:
            request.headers.append((HEADER.lower().encode(), mark.value.encode()))
            started = perf_counter()
            status = await self._exchange(request, scope)
            seconds = perf_counter() - started
            if mark.event is not None:
                with anyio.move_on_after(_SETTLE):
                    await mark.ended.wait()
        return Replayed(None if mark.event is None else self._bus.event_id(mark.event), status, seconds)

    def check(self, method: str, target: str, scope: Scope) -> None:
        """:raises ReplayError: no rule allows it"""
        path = unquote(target.partition("?")[0])
        below = below_root({"path": path, "root_path": scope.get("root_path", "")})
        # Applications do not resolve these, but what stands in front of one may, to a path that is not allowed.
        if {".", ".."} & set(below.split("/")):
            raise ReplayError(403, "a path with . or .. in it is not sent")
        if any(below == prefix or below.startswith(f"{prefix}/") for prefix in self._ignored):
            raise ReplayError(403, f"{below} is not the application's but the monitor's own")
        if not self.rules.allows(method, below):
            raise ReplayError(
                403, f"{method} {below} is not allowed to be replayed: add it to --replay or REQSCOPE_REPLAY"
            )

    def _find(self, event_id: str) -> Event:
        if not self.rules:
            raise ReplayError(
                403, "replay is off: allow requests with --replay or REQSCOPE_REPLAY, such as GET,/items/*"
            )
        event = self._bus.find(event_id)
        if event is None:
            raise ReplayError(404, f"event {event_id} is not, or no longer, in the ring")
        if event.kind != "request":
            raise ReplayError(409, f"a {event.kind} is not a request to the application")
        return event

    async def _exchange(self, request: Outgoing, scope: Scope) -> int:
        """Return the status of the response, once it is there in full.

        :raises ReplayError: there is none
        """
        try:
            with anyio.fail_after(self._timeout):
                async with httpx.AsyncClient(transport=self._transport(), trust_env=False) as client:
                    return await _read(client, self._request(request, scope))
        except TimeoutError:
            raise ReplayError(
                504,
                f"the application did not answer in full within {self._timeout:g} s; it may have got the request, "
                "and then the panel shows it when it is over",
            ) from None
        except httpx.LocalProtocolError as error:
            raise ReplayError(422, f"this is no HTTP that can be sent: {error}") from None
        except httpx.ConnectError as error:
            raise ReplayError(502, f"the application cannot be reached: {error}") from None
        except httpx.HTTPError as error:
            raise ReplayError(502, f"the application broke off its answer: {error or type(error).__name__}") from None

    def _request(self, request: Outgoing, scope: Scope) -> httpx.Request:
        sent = httpx.Request(
            request.method,
            self._base_url,
            headers=request.headers,
            content=request.body,
            extensions={"target": request.target, "scope": dict(scope)},
        )
        sent.method = request.method  # httpx would write it in capital letters
        return sent


async def _read(client: httpx.AsyncClient, request: httpx.Request) -> int:
    """Send the request, and read the response without keeping it: what there is to see of it, capture keeps."""
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        async for _ in response.aiter_raw():
            pass
        return response.status_code
    finally:
        await response.aclose()
