"""`python -m benchmarks growth [FOLDER]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import page
from .cost import Grown, Growth
from .inside import INSIDE
from .served import SERVED

GROWTHS: Final[Sequence[Growth]] = (*INSIDE, *SERVED)


def main(arguments: Sequence[str]) -> int:
    """Measure all and print a table; write a page with plots into a folder if one is named."""
    all_grown = [_measured(growth) for growth in GROWTHS]
    print(page.summary(all_grown), end="")
    if arguments:
        page.write(Path(arguments[0]), all_grown)
    return 0


def _measured(growth: Growth) -> Grown:
    print(growth.title, file=sys.stderr, flush=True)
    return Grown(growth, [growth.measure(size) for size in growth.sizes])
