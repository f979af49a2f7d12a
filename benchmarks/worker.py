"""The fresh process that one contender is measured in: `python -m benchmarks.worker NAME CONTENDER SCALE`."""

import json
import signal
import sys
from typing import Final

from .contenders import Unavailable, load

UNAVAILABLE: Final = 3
"""Exit status when something is not installed."""

INTERRUPTED: Final = 130


def main(name: str, contender: str, scale: str) -> int:
    """Measure once, and print the numbers as JSON."""
    try:
        numbers = load(name).contenders[contender](float(scale))
    except Unavailable as missing:
        print(missing, file=sys.stderr)
        return UNAVAILABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    print(json.dumps(numbers))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and browsers are ended on the way out
    sys.exit(main(*sys.argv[1:]))
