"""Records runs: one reader of the bus, which counts every request for the runs that it belongs to."""

import logging
import os
import platform
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CapacityLimiter, to_thread

from reqscope.bus import Event, EventBus, LoopLag

from .detection import Mark, by_mark
from .model import Losses, Run, RunError, State, summary
from .process import Usage
from .revision import revision
from .store import RunStore
from .tally import Tally
from .thresholds import judge

logger = logging.getLogger(__name__)

MAX_LIVE: Final = 32
"""Runs at a time. Their names come from clients, so there has to be a bound."""

_LINGER: Final = 0.25
_LOOK_EVERY: Final = 1.0
_FILLED: Final = 60
"""Seconds that one look at the process may stand for: a clock that was set is not taken for a loop that was late."""
_SAVE_EVERY: Final = 15.0
"""Seconds between two copies of a live run in the file: as much is lost when the process is killed."""
_UNSAVED: Final = 8
_OF_ONE_PROCESS: Final = "In flight, loop lag, CPU and memory are those of the panel's process, and not of workers."
_LISTED: Final = 100
"""Kept runs that an overview lists; `reqscope runs list` lists all."""
_FEWEST: Final = 20
_SLOWEST: Final = 5.0
"""Requests, and requests per second, that make a run of what only looks like a load tool."""


class RunRecorder:
    """Begins, counts and ends runs. For one event loop; `run` is to run in a task group.

    A request counts for the run that it names. Of the others, one counts for every run that was begun by hand, but not
    for one of another tool; and where there is none and it looks like a load tool's, for a run of its own.

    :param mask: what takes secrets out of labels and commands
    :param settings: values to keep with each run, for people to read
    :param faults: how many failures of the capture's own there were so far
    :param skipped: how many requests passed unwatched so far
    :param stragglers: waits until other processes have handed over what they captured so far, where there are some, and
        returns the names of those that have not
    :param quiet: seconds without a request after which a run that began by itself ends
    :param detect: whether runs begin by themselves
    """

    def __init__(
        self,
        bus: EventBus,
        lag: LoopLag,
        store: RunStore,
        *,
        mask: Callable[[str], str],
        settings: Mapping[str, str],
        faults: Callable[[], int] = lambda: 0,
        skipped: Callable[[], int] = lambda: 0,
        stragglers: Callable[[], Awaitable[Sequence[str]]] | None = None,
        quiet: float = 10.0,
        detect: bool = True,
    ) -> None:
        self.store = store
        self._bus = bus
        self._lag = lag
        self._mask = mask
        self._faults = faults
        self._settings = dict(settings)
        self._skipped = skipped
        self._stragglers = stragglers
        self._quiet = quiet
        self._detect = detect
        self._subscription = bus.subscribe(after=None, linger=_LINGER, name="runs", sealed=True)
        self._live: dict[str, Tally] = {}
        self._hidden: set[str] = set()
        """Ids of runs that may yet turn out to be none."""
        self._named: dict[str, str] = {}
        """Id of the live run by what its requests call it."""
        self._before: dict[str, Losses] = {}
        self._past: list[dict[str, Any]] = []
        self._ending: list[Run] = []
        self._unsaved: deque[Run] = deque(maxlen=_UNSAVED)
        """Runs that have ended and could not be written."""
        self._changed = anyio.Event()
        self._saved = 0.0
        self._writing = CapacityLimiter(1)
        self._usage = Usage()
        self._revision: str | None = None
        bus.add_counter(self._count_thinned)

    async def run(self) -> None:
        """Record until the bus is closed, and end what is live then. If cancelled, the file has a copy of live runs."""
        self._subscription = self._bus.subscribe(after=None, linger=_LINGER, name="runs", sealed=True)
        async with self._subscription as subscription:
            await self._settle()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_watch)
                async for batch in subscription:
                    self._bus.count_thinned()
                    self._count(batch.events, batch.missed)
                tasks.cancel_scope.cancel()
        for run_id in list(self._live):
            self._finish(run_id, "interrupted")
        with anyio.CancelScope(shield=True):
            await self._write_ended()

    async def begin(
        self,
        label: str = "",
        *,
        origin: str = "api",
        tool: str = "",
        command: str = "",
        thresholds: Sequence[str] = (),
        baseline: str = "",
        only_marked: bool = False,
    ) -> Run:
        """Begin a run: what is published from now on counts.

        :param only_marked: count only requests that name it, by its id or label
        :raises RunError: too many are live
        """
        if self._revision is None:
            self._revision = await to_thread.run_sync(revision, Path.cwd())
        self.catch_up()
        tally = self._start(label, origin=origin, tool=tool, command=self._mask(command))
        tally.run.thresholds, tally.run.baseline = list(thresholds), baseline
        tally.only_marked = only_marked
        tally.by_itself = False
        await self._write([tally.freeze()])
        return tally.totals()

    async def end(self, run_id: str, *, exit_status: int | None = None) -> Run:
        """End a run: what was published so far counts.

        :raises RunError: no such run is live
        """
        late = await self._stragglers() if self._stragglers is not None and run_id in self._live else ()
        self.catch_up()
        if run_id not in self._live:
            raise RunError(f"there is no live run {run_id!r}")
        if late:
            note = f"Not heard from in time: {', '.join(late)}. Their last requests may be missing."
            self._live[run_id].run.notes.append(note)
        self._live[run_id].run.exit_status = exit_status
        run = self._finish(run_id, "ended")
        await self._write_ended()
        return run

    def catch_up(self) -> None:
        """Count all that was published so far."""
        self._bus.count_thinned()
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                batch = self._subscription.receive_nowait()
                self._count(batch.events, batch.missed)

    def live(self, name: str) -> Run | None:
        """Return a live run by id or label, as of this moment, all of it."""
        self.catch_up()
        tally = self._find_live(name)
        if tally is None:
            return None
        self._note_losses(tally)
        return tally.freeze()

    async def load(self, name: str) -> Run:
        """Return a run, live or kept, by its id, the name of a baseline, or its label.

        :raises RunError: there is none
        """
        unsaved = (run for run in reversed(self._unsaved) if name in (run.id, run.label))
        if (found := self.live(name) or next(unsaved, None)) is not None:
            return found
        return await to_thread.run_sync(self.store.load, name, limiter=self._writing)

    async def change(self, action: Callable[[], None]) -> None:
        """Do something to the file, in a thread, and read the list again.

        :raises RunError: what `action` raises
        """
        await to_thread.run_sync(action, limiter=self._writing)
        await self.refresh()

    def progress(self, name: str) -> dict[str, Any] | None:
        """Return the summary of a live run as of this moment, its absolute thresholds judged."""
        self.catch_up()
        tally = self._find_live(name)
        return None if tally is None else self._progress(tally)

    def overview(self) -> dict[str, Any]:
        """Return the summaries of live runs, with their busiest routes, and of those in the file, the newest first."""
        self.catch_up()
        shown = [tally for run_id, tally in reversed(self._live.items()) if run_id not in self._hidden]
        live: list[dict[str, Any]] = [{**self._progress(tally), "routes": tally.top()} for tally in shown]
        ids = {each["id"] for each in live}
        return {"live": live, "past": [each for each in self._past if each["id"] not in ids][:_LISTED]}

    async def refresh(self) -> None:
        """Read the list of kept runs again, after it was changed elsewhere."""
        self._past = await to_thread.run_sync(self.store.list, limiter=self._writing)

    def _progress(self, tally: Tally) -> dict[str, Any]:
        run = tally.totals()
        self._note_losses(tally)
        if run.thresholds:
            run.results = [
                result for result in judge(tally.freeze()) if not result.detail.startswith("there is no baseline")
            ]
        return {**summary(run), "baselines": []}

    def _find_live(self, name: str) -> Tally | None:
        if name in self._live:
            return self._live[name]
        return next((tally for tally in self._live.values() if tally.run.label == name), None)

    async def _settle(self) -> None:
        """Say of the runs of a process that was killed that they were interrupted."""
        try:
            await to_thread.run_sync(self.store.interrupt, frozenset(self._live), limiter=self._writing)
            await self.refresh()
        except RunError as error:
            logger.warning("%s; runs are not kept", error)

    def _count(self, events: Sequence[Event], missed: int) -> None:
        if missed:
            for tally in self._live.values():
                tally.run.losses.missed += missed
        if not events or not (self._detect or self._live):
            return
        for mark, group in by_mark(events).items():
            for tally in self._tallies(mark):
                tally.add(group)
                if tally.run.id in self._hidden:
                    self._reveal(tally)

    def _count_thinned(self, events: Sequence[Event]) -> None:
        """Count what sampling left out: nothing is known of its headers."""
        for tally in self._live.values():
            if tally.by_itself or tally.only_marked:
                tally.run.losses.unattributed += len(events)
            else:
                tally.add(events)

    def _tallies(self, mark: Mark | None) -> list[Tally]:
        """Return the runs that requests with this mark belong to, which may begin with them."""
        if mark is not None and mark.name:
            found = self._live.get(mark.name) or self._live.get(self._named.get(mark.name, ""))
            return [found] if found is not None else self._begin_by_itself(mark, mark.name)
        open_to_all = [
            tally
            for tally in self._live.values()
            if not tally.by_itself and not tally.only_marked and (mark is None or tally.run.tool in ("", mark.tool))
        ]
        if open_to_all or mark is None:
            return open_to_all
        found = self._live.get(self._named.get(f"tool {mark.tool}", ""))
        return [found] if found is not None else self._begin_by_itself(mark, f"tool {mark.tool}")

    def _begin_by_itself(self, mark: Mark, name: str) -> list[Tally]:
        if not self._detect or len(self._live) >= MAX_LIVE:
            return []
        tally = self._start(mark.name or mark.tool, origin=mark.origin, tool=mark.tool)
        self._named[name] = tally.run.id
        if not mark.name:
            self._hidden.add(tally.run.id)
        return [tally]

    def _start(self, label: str, *, origin: str, tool: str, command: str = "") -> Tally:
        if len(self._live) >= MAX_LIVE:
            raise RunError(f"{MAX_LIVE} runs are live already; end one of them first")
        now = time.time()
        run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"
        run = Run(
            id=run_id,
            label=self._mask(label) or run_id,
            tool=tool,
            origin=origin,
            command=command,
            started=now,
            revision=self._revision or "",
            host=_host(),
            settings=self._settings,
            notes=[] if self._stragglers is None else [_OF_ONE_PROCESS],
        )
        tally = self._live[run_id] = Tally(run, self._bus.boot)
        self._named.setdefault(run.label, run_id)
        self._before[run_id] = self._losses()
        self._changed.set()
        return tally

    def _reveal(self, tally: Tally) -> None:
        run = tally.run
        span = (run.last or 0.0) - (run.first or 0.0)
        if tally.requests >= _FEWEST and tally.requests >= _SLOWEST * span:
            self._hidden.discard(run.id)

    def _finish(self, run_id: str, state: State) -> Run:
        tally = self._live[run_id]
        self._note_losses(tally)
        self._note_vitals()
        del self._live[run_id]
        del self._before[run_id]
        self._named = {name: each for name, each in self._named.items() if each != run_id}
        run = tally.freeze()
        run.state = state
        run.ended = (run.last or run.started) if tally.by_itself else time.time()
        if run_id in self._hidden:
            self._hidden.discard(run_id)
        else:
            self._ending.append(run)
        return run

    def _losses(self) -> Losses:
        return Losses(refused=self._bus.statistics().refused, skipped=self._skipped(), faults=self._faults())

    def _note_losses(self, tally: Tally) -> None:
        now, before, losses = self._losses(), self._before[tally.run.id], tally.run.losses
        losses.refused = now.refused - before.refused
        losses.skipped = now.skipped - before.skipped
        losses.faults = now.faults - before.faults

    def _note_vitals(self) -> None:
        """Copy what was sampled of the event loop into the runs that were live then."""
        for tally in self._live.values():
            for second in self._lag.snapshot(int(tally.run.started) - 1).seconds:
                if second.time <= (tally.run.last or time.time()) + 1:
                    tally.vitals(second.time, lag=second.lag, in_flight=second.in_flight)

    async def _keep_watch(self) -> None:
        """Look at the process once a second while a run is live, end runs that are quiet, and save."""
        since = int(time.time())
        while True:
            if not self._live:
                self._changed = anyio.Event()
                await self._changed.wait()
                self._usage.look()
                since = int(time.time())
            await anyio.sleep(_LOOK_EVERY)
            now = int(time.time())
            cpu, memory = self._usage.look()
            self.catch_up()
            self._note_vitals()
            for tally in self._live.values():
                tally.process(range(max(since, now - _FILLED, int(tally.run.started)), now), cpu, memory)
            since = now
            self._end_quiet()
            await self._write_ended()
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._saved = time.monotonic()
                live = [tally.freeze() for run_id, tally in self._live.items() if run_id not in self._hidden]
                await self._write(live)

    def _end_quiet(self) -> None:
        now = time.monotonic()
        for run_id, tally in list(self._live.items()):
            if tally.by_itself and now - tally.touched > self._quiet:
                self._finish(run_id, "ended")

    async def _write_ended(self) -> None:
        ending, self._ending = self._ending, []
        for run in ending:
            await self._judge(run)
        await self._write(ending)

    async def _judge(self, run: Run) -> None:
        if run.thresholds:
            run.results = judge(run, await self._baseline(run))

    async def _baseline(self, run: Run) -> Run | None:
        if not run.baseline:
            return None
        try:
            found = await to_thread.run_sync(self.store.load, run.baseline, limiter=self._writing)
        except RunError as error:
            run.notes.append(f"The baseline could not be had: {error}.")
            return None
        return found if found.id != run.id else None

    async def _write(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        try:
            for run in runs:
                await to_thread.run_sync(self.store.save, run, limiter=self._writing)
            await self.refresh()
        except RunError as error:
            logger.warning("%s; runs are not kept", error)
            self._unsaved.extend(run for run in runs if run.state != "live")
            known = {run.id for run in runs}
            kept = [{**summary(run), "baselines": []} for run in runs if run.state != "live"]
            self._past = kept + [each for each in self._past if each["id"] not in known]


def _host() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cores": str(os.cpu_count() or "?"),
        "pid": str(os.getpid()),
    }
