"""What there is to say of the process, its versions and the settings in force."""

import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any, Final

from reqscope.bus import SinkRunner
from reqscope.bus.compiled import COMPILED

from .pipeline import Pipeline
from .settings import Settings

_PACKAGES: Final = ("reqscope", "fastapi", "starlette", "uvicorn", "gradio", "anyio", "structlog", "msgspec")
_STARTED: Final = time.monotonic()


def system(pipeline: Pipeline, capture: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return sections of names and values, for people to read.

    :param capture: the statistics of what produces events
    """
    lag = pipeline.lag.snapshot()
    return {
        "Capture": {name.replace("_", " "): value for name, value in capture.items() if not isinstance(value, dict)},
        "OpenTelemetry": {name.replace("_", " "): value for name, value in asdict(pipeline.exported).items()},
        "Log sinks": dict(map(_sink, pipeline.sinks)) or {"none": "log lines are off"},
        "Process": {
            "pid": os.getpid(),
            "memory, peak": f"{_peak_memory() / (1 << 20):.0f} MiB",
            "up": f"{time.monotonic() - _STARTED:.0f} s",
            "request path": "compiled" if COMPILED else "interpreted",
            "loop lag, worst of 5 min": f"{lag.worst * 1_000:.1f} ms",
        },
        "Versions": _versions(),
        "Settings": {name: getattr(pipeline.settings, name) for name in Settings.model_fields if name != "redact"}
        | {"redact": f"{len(pipeline.settings.redact)} names"},
    }


def _sink(runner: SinkRunner) -> tuple[str, str]:
    now = runner.statistics()
    failing = ", failing" if now.failing else ""
    return now.name, f"{now.written:,} written, {now.lost:,} lost, {now.held:,} held{failing}"


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


@cache
def version(package: str) -> str:
    """Return the version of an installed package, or say that there is none."""
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return "not installed as a package"
