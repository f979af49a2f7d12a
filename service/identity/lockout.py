"""Who has tried too many passwords."""

from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from .clock import clock

FAILURES: Final = 5
PERIOD: Final = 300.0
"""Seconds in which so many failures lock, and how long that lasts."""

_REMEMBERED: Final = 20_000
"""Pairs of user and address. Each costs a guesser the time of a password, so waiting is quicker than flushing."""


class Lockout:
    """Counts the failures of each user at each address.

    An attempt counts as a failure from its beginning until it is known to be right, so that many at once are no way
    round. Keeping both apart means that nobody can lock a user out from somewhere else.

    :param clock: the time in seconds
    """

    def __init__(self, clock: Callable[[], float] = clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def attempt(self, user: str, address: str) -> float:
        """Note an attempt, and return 0; or the seconds to wait until one is allowed again."""
        key, now = (user, _network(address)), self._clock()
        times = self._failures.setdefault(key, deque(maxlen=FAILURES))
        self._failures.move_to_end(key)
        locked = len(times) == FAILURES and times[-1] - times[0] < PERIOD
        if locked and now < times[-1] + PERIOD:
            return times[-1] + PERIOD - now
        times.append(now)
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        return 0.0

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of a user who is known now."""
        self._failures.pop((user, _network(address)), None)


def _network(address: str) -> str:
    """Return what one person is taken to have: an address, or of IPv6 a /64, which even a telephone gets whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
