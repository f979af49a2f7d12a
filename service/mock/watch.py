"""Stubs are read again when their files change."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import anyio
from anyio import to_thread
from watchfiles import Change, awatch

from .store import StubStore

logger = logging.getLogger(__name__)


async def watch(store: StubStore) -> None:
    """Read the store's files again whenever one changes, until cancelled. What is wrong in them is logged."""
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, store, stop)
        try:
            await anyio.sleep_forever()
        finally:
            stop.set()  # the thread that waits for changes cannot be cancelled, only told


async def _watch(store: StubStore, stop: anyio.Event) -> None:
    paths = [path.resolve() for path in store.paths]
    # An editor may put a new file in the place of the old one, so a file is watched by its folder.
    folders = {path if path.is_dir() else path.parent for path in paths}
    if not folders:
        return
    said: list[str] = []
    try:
        recursive = any(path.is_dir() for path in paths)  # the folder of a file may be somebody's home
        changes = awatch(*folders, watch_filter=_within(paths), step=20, stop_event=stop, recursive=recursive)
        async for _ in changes:
            store.apply(await to_thread.run_sync(store.read))
            said = _tell([str(error) for error in store.errors], said)
    except OSError as error:  # such as no watches left, or the folder is gone
        logger.warning("stubs are not reloaded from now on: %s", error)


def _tell(wrong: list[str], said: list[str]) -> list[str]:
    for error in wrong:
        if error not in said:
            logger.warning("%s; the stubs from before stay", error)
    if said and not wrong:
        logger.warning("the stubs are in order again")
    return wrong


def _within(paths: Iterable[Path]) -> Callable[[Change, str], bool]:
    wanted = tuple(paths)

    def passes(change: Change, name: str) -> bool:
        path = Path(name)
        return any(path == each or each in path.parents for each in wanted)

    return passes
