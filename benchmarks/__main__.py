"""`python -m benchmarks`: measure, and print a table."""

import argparse
import json
import signal
import sys
from typing import Any

from reqscope.bus.compiled import COMPILED

from .contenders import NAMES, load
from .growth import command as growth
from .report import machine, summary, table
from .runner import Failed, run
from .worker import INTERRUPTED

_QUICK_SCALE = 0.5
_QUICK_FEWER = 3

_EXAMPLES = """\
examples:
  python -m benchmarks                     everything, about twenty minutes
  python -m benchmarks --quick             everything, about seven minutes, with more noise
  python -m benchmarks ring publish        two paths
  python -m benchmarks capture --rounds 15
  python -m benchmarks growth benchmarks   how costs grow, written as GROWTH.md and plots
  python -m benchmarks --json > now.json   machine-readable; progress stays on standard error
"""


def main() -> int:
    """Measure what the command line asks for; 1 when something could not be measured."""
    if sys.argv[1:2] == ["growth"]:
        try:
            return growth.main(sys.argv[2:])
        except KeyboardInterrupt:
            _progress("interrupted\n")
            return INTERRUPTED
    options = parser().parse_args()
    names = options.names or list(NAMES)
    scale = _QUICK_SCALE if options.quick else 1.0
    results: list[dict[str, Any]] = []
    status = 0
    _progress("what runs for every request is " + ("compiled" if COMPILED else "interpreted"))
    try:
        for name in names:
            bench = load(name)
            rounds = options.rounds or (max(1, bench.rounds // _QUICK_FEWER) if options.quick else bench.rounds)
            try:
                result = summary(name, bench, run(name, bench, rounds, scale, _progress))
            except Failed as failure:
                _progress(f"{failure}\n")
                status = 1
                continue
            results.append(result)
            _progress("")
            if not options.json:
                print(table(result), flush=True)
    except KeyboardInterrupt:
        _progress("interrupted\n")
        status = INTERRUPTED
    if options.json:
        print(json.dumps({"machine": machine(), "quick": options.quick, "benchmarks": results}, indent=1))
    return status


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the paths an event takes. Contenders take turns, each in a fresh process, so their ratios "
        "hold where absolute numbers drift with the machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_name, help=f"what to measure: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="turns that each contender gets")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer measurements")
    parser.add_argument("--json", action="store_true", help="print every value as JSON instead of tables")
    return parser


def _name(text: str) -> str:
    name = text.removeprefix("bench_").removesuffix(".py")
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; there are {', '.join(NAMES)}")
    return name


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _progress(message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
    elif message:
        print(message.rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    sys.exit(main())
