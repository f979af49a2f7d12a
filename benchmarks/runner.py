"""Takes turns: each contender in a fresh process, one round after another."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from .contenders import Bench, Numbers
from .worker import UNAVAILABLE

_ROOT: Final = Path(__file__).parent.parent
_PATIENCE: Final = 180.0
"""Seconds that one measurement may take."""

_GRACE: Final = 10.0

Rounds = dict[str, list[Numbers]]
"""What each contender measured, one entry a round."""


class Failed(Exception):
    """A contender could not be measured. Its own message is on standard error."""


def run(name: str, bench: Bench, rounds: int, scale: float, progress: Callable[[str], None]) -> Rounds:
    """Measure every contender of `bench` in each round, so that what drifts on the machine meets all alike.

    :raises Failed: a contender ended without numbers
    """
    measured: Rounds = {contender: [] for contender in bench.contenders}
    for turn in range(rounds):
        for contender, results in measured.items():
            progress(f"{name} {turn + 1}/{rounds}  {contender}")
            results.append(_measure(name, contender, scale))
    return measured


def _measure(name: str, contender: str, scale: float) -> Numbers:
    command = [sys.executable, "-m", "benchmarks.worker", name, contender, str(scale)]
    # A session of its own: Ctrl-C reaches this process alone, and it ends the worker and what that has started.
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        try:
            output, _ = worker.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{name}, {contender}: no answer within {_PATIENCE:.0f} s") from None
        finally:
            _end(worker)
    if worker.returncode == UNAVAILABLE:
        raise Failed(f"{name} was left out")
    if worker.returncode:
        raise Failed(f"{name}, {contender}: ended with status {worker.returncode}")
    numbers: Numbers = json.loads(output)
    return numbers


def _end(worker: "subprocess.Popen[str]") -> None:
    if worker.poll() is None:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(_GRACE)
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in its session, as it should be
        os.killpg(worker.pid, signal.SIGKILL)
