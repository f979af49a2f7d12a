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
    """Measure all and print a table; write a page with plots into a folder if one is named, after each of them."""
    all_grown: list[Grown] = []
    for growth in GROWTHS:
        all_grown.append(_measured(growth))
        if arguments:
            page.write(Path(arguments[0]), all_grown)
    print(page.summary(all_grown), end="")
    return 0


def _measured(growth: Growth) -> Grown:
    print(growth.title, file=sys.stderr, flush=True)
    return Grown(growth, [growth.measure(size) for size in growth.sizes])
