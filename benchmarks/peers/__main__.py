"""`python -m benchmarks.peers FILE`: measure, and write a table."""

import argparse
import json
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from . import quiet
from .contenders import BARE, CONTENDERS, Contender
from .measure import KINDS, Failed, Measurement, measure
from .report import markdown, summary

_QUICK: Final = (1, 1.0)
_IN_FULL: Final = (9, 4.0)

BUSY: Final = 3
"""Exit status: the machine was too busy for numbers that mean something."""


def main() -> int:
    """Measure what the command line asks for."""
    options = _parser().parse_args()
    if shutil.which("wrk") is None:
        return _refuse("wrk is not installed: get it from your system's packages", 1)
    doubts = list(quiet.before())
    if doubts and not options.anyway:
        return _refuse(f"not measured, because {doubts[0]}; --anyway measures and says so", BUSY)
    rounds, seconds = _QUICK if options.quick else _IN_FULL
    chosen = [each for each in CONTENDERS if not options.only or each.name in (BARE, *options.only)]
    measured, unavailable = _take_turns(chosen, options.rounds or rounds, options.seconds or seconds)
    everybody = [each for kind in measured.values() for several in kind.values() for each in several]
    bare = [each for kind in measured.values() for each in kind[BARE]]
    if not bare:
        return _refuse(f"the {BARE} could not be measured, and with it nothing can be compared", 1)
    doubts += quiet.afterwards(bare, everybody)
    if doubts and not options.anyway:
        return _refuse(f"not reported, because {'; '.join(doubts)}; --anyway reports and says so", BUSY)
    command = shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]])
    result = summary(measured, unavailable, doubts, command)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.file is not None:
        options.file.write_text(markdown(result), "utf-8")
    else:
        print(markdown(result), end="")
    return 0


def _take_turns(
    contenders: list[Contender], rounds: int, seconds: float
) -> tuple[dict[str, dict[str, list[Measurement]]], dict[str, str]]:
    """Return what was measured, and why somebody was not. Who fails once is left out from then on."""
    measured = {kind: {each.name: list[Measurement]() for each in contenders} for kind in KINDS}
    unavailable = {each.name: f"{each.package} is not installed" for each in contenders if not each.available}
    for turn in range(rounds):
        for each in contenders:
            for kind in KINDS:
                if each.name in unavailable:
                    continue
                _progress(f"{turn + 1}/{rounds}  {each.name}, {KINDS[kind]}")
                try:
                    measured[kind][each.name].append(measure(each, kind, seconds))
                except Failed as failure:
                    unavailable[each.name] = str(failure)
                    _progress(f"{each.name} is left out: {failure}")
    for of_kind in measured.values():
        for name in unavailable:
            of_kind.pop(name, None)
    return measured, unavailable


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Measure Reqscope side by side with what others use, in ratios to the bare application. Refuses to "
        f"report what was measured on a busy machine, with exit status {BUSY}.",
    )
    parser.add_argument("file", nargs="?", type=Path, help="where to write the table; without, standard output")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too, as JSON")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns that each contender gets ({_IN_FULL[0]})")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"of load for each measurement ({_IN_FULL[1]:.0f})")
    parser.add_argument("--quick", action="store_true", help="one round of a second each")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this contender and the bare application"
    )
    parser.add_argument("--anyway", action="store_true", help="report what a busy machine measured, saying that it was")
    return parser


def _refuse(why: str, status: int) -> int:
    _progress(why)
    return status


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    sys.exit(main())
