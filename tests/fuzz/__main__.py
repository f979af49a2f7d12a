"""`python -m tests.fuzz SECONDS [TARGET …]`: feed targets for so long each, and keep what breaks them.

Atheris, guided by coverage, where it is installed; otherwise hypothesis. What was found stands in `found/TARGET/`,
which is where the ordinary tests look; what was reached in `.fuzz/TARGET/`, from where the next run goes on.
"""

import argparse
import hashlib
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

FOUND: Final = Path(__file__).parent / "found"
REACHED: Final = Path(__file__).parents[2] / ".fuzz"
_MOST_FOUND: Final = 10
"""Of one target in one run: more are mostly the same."""


def main() -> int:
    """Feed all that the command line names; 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("seconds", type=float, help="for each target")
    parser.add_argument("targets", nargs="*", help="names; all without")
    parser.add_argument("--feed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        feed(options.targets[0], options.seconds)
        return 0
    from .targets import TARGETS

    broken = [name for name in options.targets or TARGETS if not _holds(name, options.seconds)]
    print(f"Broken: {', '.join(broken) or 'nothing'}")
    return bool(broken)


def _holds(name: str, seconds: float) -> bool:
    """Feed one target in processes of its own, each until it breaks."""
    end, found = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1 and found < _MOST_FOUND:
        command = [sys.executable, "-m", "tests.fuzz", "--feed", str(round(left)), name]
        found += subprocess.run(command, check=False).returncode != 0
    return not found


def feed(name: str, seconds: float) -> None:
    """Feed one target in this process, until the time is over or it breaks."""
    if find_spec("atheris") is None:
        _feed_with_hypothesis(name, seconds)
    else:
        _feed_with_atheris(name, seconds)


def _feed_with_atheris(name: str, seconds: float) -> None:
    atheris: Any = import_module("atheris")  # it is not there for every Python, and has no annotations
    with atheris.instrument_imports(include=["reqscope"]):
        from .targets import TARGETS
    target, reached, found = TARGETS[name], REACHED / name, FOUND / name
    reached.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (reached / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = REACHED / f"{name}.words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    options = [f"-max_total_time={seconds:.0f}", f"-artifact_prefix={found}/", f"-dict={words}", "-max_len=2048"]
    atheris.Setup([sys.argv[0], *options, "-timeout=20", "-rss_limit_mb=2048", str(reached)], target.check)
    atheris.Fuzz()


def _feed_with_hypothesis(name: str, seconds: float) -> None:
    from hypothesis import HealthCheck, given, settings

    from .inputs import inputs
    from .targets import TARGETS

    target, end = TARGETS[name], time.monotonic() + seconds

    unhurried = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)

    @settings(max_examples=1_000, deadline=None, suppress_health_check=unhurried, database=None)
    @given(inputs(target))
    def holds(data: bytes) -> None:
        try:
            target.check(data)
        except Exception:
            (FOUND / name).mkdir(parents=True, exist_ok=True)
            (FOUND / name / f"crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    while time.monotonic() < end:
        holds()


if __name__ == "__main__":
    sys.exit(main())
