"""Who is signed in, known to the server alone: a browser holds a random name and nothing else."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import anyio

from .clock import clock
from .visits import User

LENGTH: Final = 8 * 3600.0
"""Seconds from the sign-in after which a session ends, used or not."""

IDLE: Final = 30 * 60.0
"""Seconds after which a session ends that made no request. An open page that nobody touches makes none."""

_MOST: Final = 10_000

_LOOK_AGAIN: Final = 5.0
"""Seconds after which an open stream looks whether its user is still one."""


class Session:
    """One browser that is signed in."""

    __slots__ = ("created", "ended", "holds", "key", "used", "user")

    def __init__(self, key: str, user: User, holds: Callable[[], bool], now: float) -> None:
        self.key = key
        """A hash of what the browser holds."""
        self.user = user
        self.holds = holds
        """Whether the user may still be signed in."""
        self.created = self.used = now
        self.ended = anyio.Event()


class Sessions:
    """All sessions of one server, in memory: a restart ends them.

    To be used in one event loop.

    :param clock: the time in seconds, a computer's sleep included
    :ivar on_end: called after a session has ended
    """

    def __init__(self, clock: Callable[[], float] = clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.on_end: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user: User, holds: Callable[[], bool] = lambda: True) -> str:
        """Begin a session, and return its name, which only the browser is to know.

        :param holds: whether the user may still be signed in; asked often
        """
        name = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(_key(name), user, holds, now)
        self._sweep(now)
        self._sessions[session.key] = session
        if len(self._sessions) > _MOST:
            self.end(next(iter(self._sessions)))
        return name

    def use(self, name: str) -> Session | None:
        """Return the session of that name, if it is live, and count this as a use of it."""
        self._sweep(self._clock())
        session = self._sessions.get(_key(name))
        if session is None or not self.is_live(session):
            return None
        session.used = self._clock()
        return session

    def is_live(self, session: Session) -> bool:
        """Whether a session goes on. One that does not is ended by this."""
        if session.ended.is_set():
            return False
        if self.seconds_left(session) > 0 and session.holds():
            return True
        self.end(session.key)
        return False

    def seconds_left(self, session: Session) -> float:
        """Return how long a session goes on if it is not used."""
        return min(session.created + LENGTH, session.used + IDLE) - self._clock()

    def end(self, key: str) -> None:
        """End a session. Its open streams hear of it."""
        session = self._sessions.pop(key, None)
        if session is not None:
            session.ended.set()
            self.on_end()

    async def wait_end(self, session: Session) -> None:
        """Wait until a session has ended, for whatever reason. Safe to cancel."""
        while self.is_live(session):
            with anyio.move_on_after(min(max(self.seconds_left(session), 0.0), _LOOK_AGAIN)):
                await session.ended.wait()

    def end_named(self, name: str) -> None:
        """End the session that a browser holds this name of."""
        self.end(_key(name))

    def _sweep(self, now: float) -> None:
        """End the oldest sessions that are over. Others are found out when they are asked for."""
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            if session.created + LENGTH > now and session.used + IDLE > now:
                return
            self.end(key)


def _key(name: str) -> str:
    return sha256(name.encode("utf-8", "replace")).hexdigest()
