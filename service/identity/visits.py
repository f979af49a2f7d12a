"""Who asks: what the gate finds out about a request, and what routes behind it go by."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from fastapi import Depends, HTTPException, Request
from starlette.types import Scope

Role: TypeAlias = Literal["viewer", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "admin")

VISIT: Final = "reqscope.visit"
"""Where in the scope of a request the gate leaves the visit. The panel reads it there, too."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may look at the panel.

    :param name: shown in the page
    :param role: a viewer looks; an admin may clear what was captured, too, and steer runs, stubs and replays
    :raises ValueError: there is no such role
    """

    name: str
    role: Role = "viewer"

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"a role is one of {', '.join(ROLES)}, not {self.role!r}")


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One request's user, and how long what they may do lasts."""

    user: User
    session: str = ""
    """Equal for all requests of one session, and for no others."""
    is_live: Callable[[], bool] = _always
    """Whether the session goes on. An open stream asks this before it sends more."""
    wait_end: Callable[[], Awaitable[None]] | None = None
    """Waits until the session has ended, where that can be known here."""
    confirm_every: float | None = None
    """Seconds after which an open page must show again who it is, where only a new request can tell."""
    links: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """Where the page's "Sign out" and "Open app" go."""
    only_api: bool = False
    """Whether this is a program with a token, which the panel is not for."""

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def is_admin(self) -> bool:
        return self.user.role == "admin"


def visit_of(scope: Scope) -> Visit | None:
    """Return whose request this is, or None if no gate has let it in."""
    found = scope.get(VISIT)
    return found if isinstance(found, Visit) else None


def require_user(request: Request) -> Visit:
    """A FastAPI dependency: whose request this is.

    :raises HTTPException: 401, no gate has let it in
    """
    visit = visit_of(request.scope)
    if visit is None:
        raise HTTPException(401, "sign in first")
    return visit


def require_admin(visit: Annotated[Visit, Depends(require_user)]) -> Visit:
    """A FastAPI dependency of every route that changes something: only an admin passes.

    :raises HTTPException: 401 or 403
    """
    if not visit.is_admin:
        raise HTTPException(403, ADMINS_ONLY)
    return visit


ADMINS_ONLY: Final = "this changes something, and only an admin may"
