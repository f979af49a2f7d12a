"""The stubs that there are: those of files, as the API has changed them, and those that came through the API."""

import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

from .files import StubError, files_of, load_file
from .matching import ReadyStub, Source, StubIndex
from .stub import Stub

_MOST_STUBS: Final = 20_000

Loaded: TypeAlias = dict[Path, list[ReadyStub]]


class Shelf:
    """Stubs of files and of the API. To be used in one event loop, or one thread.

    :param paths: files, and folders of files
    :raises StubError: a file is wrong; later ones keep what was loaded before
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self.paths = tuple(paths)
        self.errors: list[StubError] = []
        """What is wrong in files at present; their last good stubs are in use."""
        self.index = StubIndex(())
        self._files: Loaded = {}
        self._ready: dict[str, ReadyStub] = {}
        """Those of files as they stand there, by key."""
        self._changed: dict[str, ReadyStub | None] = {}
        """Those of files that were edited or deleted through the API, until their file changes."""
        self._added: dict[str, ReadyStub] = {}
        self._numbers = count(1)
        self.reload()
        if self.errors:
            raise self.errors[0]

    def reload(self) -> list[StubError]:
        """Read the files again. Of one that is wrong, the stubs from before stay; return what is wrong."""
        self.apply(self.read())
        return self.errors

    def read(self) -> tuple[Loaded, list[StubError]]:
        """Return what is in the files, and what is wrong in them. Safe in any thread."""
        found: Loaded = {}
        errors: list[StubError] = []
        for path in self.paths:
            for file in files_of(path):
                try:
                    found[file] = load_file(file, path if path.is_dir() else None)
                except StubError as error:
                    errors.append(error)
                    if file in self._files:
                        found[file] = self._files[file]
        return found, errors

    def apply(self, read: tuple[Loaded, list[StubError]]) -> None:
        """Use what `read` returned."""
        found, self.errors = read
        before, self._files = self._files, found
        changed = {file for file in {*found, *before} if _models(found.get(file)) != _models(before.get(file))}
        for key in [key for key, stub in self._ready.items() if stub.source.file in changed]:
            self._changed.pop(key, None)
        ready, order = dict[str, ReadyStub](), count()
        for file, stubs in found.items():
            for stub in stubs:
                stub.place(next(order), _key(file, stub.name, ready))
                old = self._ready.get(stub.key)
                if old is not None and old.stub == stub.stub:
                    stub.enabled = old.enabled
                ready[stub.key] = stub
        self._ready = ready
        self._rebuild()

    def add(self, stub: Stub) -> str:
        """Add a stub in front of those of the same priority, and return its key.

        :raises StubError: it cannot be made ready
        """
        return self.add_all([stub])[0]

    def add_all(self, stubs: Iterable[Stub]) -> list[str]:
        """Add all or, if one is wrong, none; the first goes before the second, and all before those there are.

        :raises StubError: one cannot be made ready
        """
        ready = [
            self._make(stub, Source(), -next(self._numbers), secrets.token_hex(6)) for stub in reversed(list(stubs))
        ][::-1]
        if len(self._added) + len(ready) > _MOST_STUBS:
            raise StubError(f"there are more than {_MOST_STUBS} stubs")
        self._added |= {each.key: each for each in ready}
        self._rebuild()
        return [each.key for each in ready]

    def replace(self, key: str, stub: Stub) -> None:
        """Put `stub` in the place of another. That of a file is as the file has it again when the file changes.

        :raises KeyError: there is no such stub
        :raises StubError: it cannot be made ready
        """
        old = self.find_stub(key)
        new = self._make(stub, old.source, old.rank[2], key)
        self._put(key, new)

    def delete(self, key: str) -> None:
        """Remove a stub. That of a file is back when the file changes.

        :raises KeyError: there is no such stub
        """
        self.find_stub(key)
        self._put(key, None)

    def enable(self, key: str, enabled: bool) -> None:
        """Have a stub answer, or not.

        :raises KeyError: there is no such stub
        """
        self.find_stub(key).enabled = enabled

    def clear(self) -> None:
        """Remove what came through the API, and have stubs of files as their files say."""
        self._added.clear()
        self._changed.clear()
        for stub in self._ready.values():
            stub.enabled = stub.stub.enabled
        self._rebuild()

    def find_stub(self, key: str) -> ReadyStub:
        """Return the stub of that key.

        :raises KeyError: there is none
        """
        return self._current()[key]

    def is_edited(self, key: str) -> bool:
        """Whether a stub is other than its file has it."""
        return key in self._changed

    def _make(self, stub: Stub, source: Source, order: int, key: str) -> ReadyStub:
        try:
            return ReadyStub(stub, source, order, key)
        except ValueError as error:
            raise StubError(str(error), key=stub.name) from None

    def _put(self, key: str, stub: ReadyStub | None) -> None:
        if key in self._added:
            if stub is None:
                del self._added[key]
            else:
                self._added[key] = stub
        else:
            self._changed[key] = stub
        self._rebuild()

    def _current(self) -> dict[str, ReadyStub]:
        merged = {**self._ready, **self._changed, **self._added}
        return {key: stub for key, stub in merged.items() if stub is not None}

    def _rebuild(self) -> None:
        self.index = StubIndex(self._current().values())


def _models(stubs: list[ReadyStub] | None) -> list[Stub] | None:
    return None if stubs is None else [each.stub for each in stubs]


def _key(file: Path, name: str, taken: dict[str, Any]) -> str:
    """Return a key that stays the same for as long as the stub has its name in its file."""
    for number in count():
        key = blake2b(f"{file}\0{name}\0{number}".encode("utf-8", "replace"), digest_size=6).hexdigest()
        if key not in taken:
            return key
    raise AssertionError("count() does not end")
