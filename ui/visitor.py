"""Who looks at a page, as far as the page needs to know."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

_VISIT: Final = "reqscope.visit"
"""Where in the scope of a request stands whose it is."""


class Visitor(Protocol):
    """Whoever made a request."""

    @property
    def name(self) -> str:
        """Shown in the page; empty where nobody is asked."""
        ...

    @property
    def is_admin(self) -> bool:
        """Whether they may change things, and not only look."""
        ...

    @property
    def session(self) -> str:
        """Equal for all requests of one session."""
        ...

    @property
    def is_live(self) -> Callable[[], bool]:
        """Says whether their session goes on."""
        ...

    @property
    def confirm_every(self) -> float | None:
        """Seconds after which an open page must show again who it is."""
        ...

    @property
    def links(self) -> Mapping[str, str | int]:
        """Where "Sign out" and "Open app" go."""
        ...


class Anybody:
    """A visitor where nobody is asked."""

    name = ""
    is_admin = True
    session = ""
    confirm_every: float | None = None
    links: Mapping[str, str | int] = {}

    def is_live(self) -> bool:
        return True


def visitor_of(request: Any) -> Visitor:
    """Return whose request this is. Gradio passes some requests as they are, and some wrapped."""
    scope = getattr(request, "request", request).scope
    visitor: Visitor = scope.get(_VISIT) or Anybody()
    return visitor
