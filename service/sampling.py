"""Which requests are kept. All are counted, whatever this says."""

import random
from collections.abc import Callable, Mapping

from reqscope.bus import Event


class Sampling:
    """Keeps a share of the ordinary requests, and every one that failed or was slow.

    :param share: of all requests, between 0 and 1
    :param routes: shares of single routes, by template, which win over `share`
    :param slow: seconds from which on a request is always kept, or None
    :raises ValueError: a share is not between 0 and 1
    """

    def __init__(
        self,
        share: float = 1.0,
        routes: Mapping[str, float] | None = None,
        slow: float | None = 1.0,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._share = share
        self._routes = dict(routes or {})
        self._slow = float("inf") if slow is None else slow
        self._draw = draw
        for value in (share, *self._routes.values()):
            if not 0 <= value <= 1:
                raise ValueError(f"a share of requests to keep is between 0 and 1, not {value}")

    def keeps(self, event: Event) -> bool:
        """Decide once for an event that is complete but for its text."""
        if event.status >= 400 or event.error is not None or (event.total or 0) >= self._slow:
            return True
        share = self._routes.get(event.route or "", self._share)
        return share >= 1 or self._draw() < share
