"""How long a client waits that does nothing wrong, while others are slow on purpose.

The server is `reqscope serve` as a user starts it, with the limits of its launcher. Slow clients send a byte of their
headers or of their body twice a second, or take a byte of a large answer, and open another connection for each that is
closed. The healthy client asks for one thing at a time, each time over a connection of its own, which has to be
accepted among theirs.
"""

import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Final

from .contenders import Bench, Numbers, Target
from .load import Load, connect, exchange
from .server import CORE_SHARE, pin, reqscope
from .slow import KINDS, holding
from .workloads import TEXT, request

_COUNT: Final = 200
_SECONDS: Final = 15.0
"""More than headers may take, so that what the limits do is in the numbers."""

_EVERY: Final = 0.005
_P50, _P99, _MOST = (f"POST /log, new connection to answer, {of} ms" for of in ("p50", "p99", "longest"))
_ANSWERED, _CLOSED = "requests of the healthy client, all answered", "slow connections that the server closed"


def _beside(kinds: Iterable[str], scale: float) -> Numbers:
    with reqscope() as server, ExitStack() as stack:
        slow = [stack.enter_context(holding(server.port, kind, _COUNT)) for kind in kinds]
        pin(1)
        before = server.cpu()
        load = _ask(server.port, _SECONDS * scale)
        share = (server.cpu() - before) / load.seconds
        numbers = {_P50: 1e3 * load.quantile(0.5), _P99: 1e3 * load.quantile(0.99), _MOST: 1e3 * load.quantile(1)}
        return numbers | {
            _ANSWERED: float(load.requests),
            _CLOSED: float(sum(each.closed() for each in slow)),
            CORE_SHARE: share,
        }


def _ask(port: int, seconds: float) -> Load:
    load, message = Load(), request("POST", "/log", TEXT)
    clock = time.perf_counter
    begun = clock()
    while (now := clock()) - begun < seconds:
        with connect(port) as connection:
            exchange(connection, message)
        load.latencies.append(clock() - now)
        time.sleep(_EVERY)
    load.requests, load.seconds = len(load.latencies), now - begun
    load.latencies.sort()
    return load


_SLOW: Final = {f"beside {_COUNT} slow {kind}": (kind,) for kind in KINDS}
_ALL: Final = f"beside {_COUNT} of each"

BENCH = Bench(
    title="a healthy client beside slow ones",
    contenders={
        "alone": partial(_beside, ()),
        **{name: partial(_beside, kinds) for name, kinds in (_SLOW | {_ALL: tuple(KINDS)}).items()},
    },
    metrics={_P50: "alone", _P99: "alone", _MOST: None, _ANSWERED: None, _CLOSED: None, CORE_SHARE: None},
    targets=[Target(_P99, name, at_most=100) for name in (*_SLOW, _ALL)],
    rounds=3,
)
