"""What other processes have counted and not handed over yet, when a run is to end."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import anyio

from reqscope.service.bridge.ordering import WINDOW

PATIENCE: Final = 3.0
_LOOK_EVERY: Final = 0.02
_ENOUGH: Final = 2
"""Reports of a worker. What the first holds may be older than the question, and the next is made after it."""


class Row(Protocol):
    """One life of one worker: see `WorkerRow` of the bridge."""

    @property
    def worker(self) -> str: ...

    @property
    def boot(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def heard(self) -> float: ...


async def await_workers(rows: Callable[[], Iterable[Row]], patience: float = PATIENCE) -> list[str]:
    """Wait until every worker that reports has handed over what it captured before this call.

    :param rows: returns what is known of the workers at the moment
    :param patience: seconds after which nobody is waited for
    :return: names of the workers that had not, by then
    """
    silences: dict[tuple[str, str], float] = {}
    reports: dict[tuple[str, str], int] = {}
    late: list[str] = []
    with anyio.move_on_after(patience):
        while True:
            late = []
            for row in rows():
                life = (row.worker, row.boot)
                if row.heard < silences.get(life, 0.0):
                    reports[life] = reports.get(life, 0) + 1
                silences[life] = row.heard
                if row.status == "reporting" and reports.get(life, 0) < _ENOUGH:
                    late.append(row.worker)
            if not late:
                break
            await anyio.sleep(_LOOK_EVERY)
    await anyio.sleep(2 * WINDOW)  # for so long events are held, to be put in order
    return late
