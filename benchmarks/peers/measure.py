"""Measures one contender: wrk on one core, the server on the other."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from benchmarks.server import pin, serving

from .contenders import Contender

KINDS: Final = {"get": "GET", "post": "POST 200 B"}
"""Requests, by what the load is told."""

_LOAD: Final = Path(__file__).with_name("load.lua")
_CONNECTIONS: Final = 32
_WARM_UP: Final = 0.5
_SLOW: Final = 5.0
"""So many times the time is given to who answers nobody within it."""


class Measurement(NamedTuple):
    """What one contender did with one kind of request, for some seconds."""

    rate: float
    """Requests per second."""
    cpu: float
    """Microseconds of processor time of the server per request."""
    p50: float
    """Milliseconds."""
    p99: float
    """Milliseconds."""
    memory: float
    """Mebibytes that the server held in the end."""
    share: float
    """Of its core that the server got."""
    others: float
    """Share of that core that others took away."""


class Failed(Exception):
    """A contender could not be measured."""


def measure(contender: Contender, kind: str, seconds: float) -> Measurement:
    """Serve `contender` in a process of its own, and send it requests of one `kind`.

    :raises Failed: the server did not start, or did not answer every request with a success
    """
    try:
        with serving(contender.factory, access_log=contender.access_log) as server:
            _wrk(server.port, kind, min(_WARM_UP, seconds))
            cpu, core, begun = server.cpu(), _busy(), time.perf_counter()
            load = _wrk(server.port, kind, seconds) or _wrk(server.port, kind, _SLOW * seconds)
            cpu, core, passed = server.cpu() - cpu, _busy() - core, time.perf_counter() - begun
            if not load:
                raise Failed(f"no answer within {_SLOW * seconds:.0f} s")
            if load["failed"]:
                raise Failed(f"{load['failed']:.0f} of {load['requests']:.0f} requests failed")
            return Measurement(
                rate=load["requests"] / load["seconds"],
                cpu=cpu / load["requests"] * 1e6,
                p50=load["p50"],
                p99=load["p99"],
                memory=server.memory() / (1 << 20),
                share=cpu / passed,
                others=max(0.0, (core - cpu) / passed),
            )
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise Failed(str(error)) from error


def _wrk(port: int, kind: str, seconds: float) -> dict[str, float]:
    """Return the numbers of a load, none where nothing was answered."""
    # wrk counts whole seconds only.
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(_LOAD)]
    command += [f"http://127.0.0.1:{port}", "--", kind]
    output = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=lambda: pin(1))
    numbers: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return numbers if numbers["requests"] else {}


def _busy() -> float:
    """Return the seconds that the server's core has been busy with anything."""
    # Interrupts are left out: those of the requests themselves are served there, too.
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    times = psutil.cpu_times(percpu=True)[core]
    return float(times.user + times.nice + times.system + getattr(times, "steal", 0.0))
