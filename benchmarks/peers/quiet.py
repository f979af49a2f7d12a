"""Whether the machine has time for a measurement."""

import os
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Final

from .measure import Measurement

MOST_LOAD: Final = 0.5
"""Load average of the last minute before the start, beyond which others are at work."""
MOST_OTHERS: Final = 0.05
"""Share of the server's core that others may take away."""
LEAST_SHARE: Final = 0.9
"""Share of its core that the bare application's server gets, if it is what limits it."""


def before() -> Iterator[str]:
    """Yield what speaks against measuring now."""
    load = os.getloadavg()[0]
    if load > MOST_LOAD:
        yield f"the load average was {load:.1f} before the start, more than {MOST_LOAD}"


def afterwards(bare: Iterable[Measurement], everybody: Iterable[Measurement]) -> Iterator[str]:
    """Yield what speaks against what was measured."""
    share = median(each.share for each in bare)
    others = median(each.others for each in everybody)
    if share < LEAST_SHARE:
        yield f"the bare application's server got {share:.0%} of its core, less than {LEAST_SHARE:.0%}"
    if others > MOST_OTHERS:
        yield f"others took {others:.0%} of the server's core, more than {MOST_OTHERS:.0%}"
