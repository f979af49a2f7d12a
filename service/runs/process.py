"""What this process uses of the machine, without a package for it."""

import os
import time
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
"""Second field: resident pages (proc_pid_statm(5))."""


class Usage:
    """CPU since the last look, and memory now."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._clock = time.perf_counter()

    def look(self) -> tuple[float | None, int | None]:
        """Return the cores used since the last look, and the bytes in memory; None where the system does not tell."""
        cpu, clock = time.process_time(), time.perf_counter()
        elapsed = clock - self._clock
        used = (cpu - self._cpu) / elapsed if elapsed > 0 else None
        self._cpu, self._clock = cpu, clock
        return used, _resident()


def _resident() -> int | None:
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # not Linux
        return None
