"""Stubs in files: YAML or JSON, one file or a folder of them, with the line and the key of what is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from .har import har_stubs, is_har
from .matching import ReadyStub, Source
from .openapi import is_openapi, openapi_stubs
from .stub import Stub, StubFile
from .wiremock import is_wiremock, wiremock_stubs

SUFFIXES: Final = (".yaml", ".yml", ".json", ".har")
ANSWERS: Final = ("files", "__files")
"""Folders that hold the bodies of answers, not stubs."""
_STUB_KEYS: Final = frozenset(Stub.__struct_fields__)
_MAX_FILE: Final = 16 << 20
_MAX_NODES: Final = 500_000
_MOST_STUBS: Final = 20_000
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it was built in: ten times as fast, and as safe."""


class StubError(Exception):
    """What is wrong in a file of stubs, in words for whoever wrote it.

    :ivar file: which file
    :ivar line: where in it, from 1; 0 where that is not known
    :ivar key: which key, such as `stubs[2].request.path`
    """

    def __init__(self, message: str, file: Path | None = None, line: int = 0, key: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{key}: {message}" if key else f"{where}{message}")
        self.message, self.file, self.line, self.key = message, file, line, key


def files_of(path: Path) -> list[Path]:
    """Return the files of stubs at `path`: itself, or those of a folder and its subfolders, in the order of names."""
    if not path.is_dir():
        return [path]
    return sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in SUFFIXES
        and each.is_file()
        and not any(part.startswith(".") or part in ANSWERS for part in each.relative_to(path).parts)
    )


def load_file(file: Path, root: Path | None = None) -> list[ReadyStub]:
    """Return the stubs of a file, in any of the formats that are understood.

    :param root: the folder that bodies may be read from; without it, that of the file
    :raises StubError: the first thing that is wrong
    """
    try:
        if file.stat().st_size > _MAX_FILE:
            raise StubError(f"it is larger than {_MAX_FILE >> 20} MiB", file)
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise StubError(f"cannot be read: {error.strerror}", file) from None
    except UnicodeDecodeError as error:
        raise StubError(f"is not UTF-8 at byte {error.start}", file) from None
    return parse(text, file, root or (file if file.is_dir() else file.parent))


def parse(text: str, file: Path | None = None, root: Path | None = None) -> list[ReadyStub]:
    """Return the stubs that a text describes.

    :raises StubError: the first thing that is wrong
    """
    document = _Document(text, file)
    content = document.content
    if isinstance(content, dict):
        foreign = (
            (is_openapi, openapi_stubs), (is_har, har_stubs), (is_wiremock, wiremock_stubs)
        )  # fmt: skip
        for recognises, convert in foreign:
            if recognises(content):
                return document.converted(convert, root)
    return document.stubs(root)


class _Document:
    def __init__(self, text: str, file: Path | None) -> None:
        self.file = file
        self._text = text
        self._node: yaml.Node | None = None
        self.content = self._read()

    def stubs(self, root: Path | None) -> list[ReadyStub]:
        content = self.content
        # A bare list of stubs, or one stub alone, is as clear as a file of them.
        prefix, items = "stubs", content.get("stubs") if isinstance(content, dict) else content
        if isinstance(content, list):
            prefix = ""
        elif isinstance(content, dict) and "stubs" not in content and not _STUB_KEYS.isdisjoint(content):
            return [self._stub(content, "", root)]
        elif isinstance(content, dict):
            self._check_keys(content)
        else:
            raise StubError("it holds no stubs: begin with `stubs:` and a list", self.file, 1)
        if not isinstance(items, list):
            raise StubError("it is to be a list of stubs", self.file, self._line("$.stubs"), "stubs")
        if len(items) > _MOST_STUBS:
            raise StubError(f"there are more than {_MOST_STUBS} stubs", self.file)
        return [self._stub(item, f"{prefix}[{number}]", root) for number, item in enumerate(items)]

    def converted(self, convert: Any, root: Path | None) -> list[ReadyStub]:
        try:
            stubs = convert(self.content)
        except (ValueError, msgspec.ValidationError, KeyError, TypeError, AttributeError, RecursionError) as error:
            # What others' documents may lack has no end; whatever it is, it is the document and not us.
            raise StubError(f"it cannot be imported: {type(error).__name__}: {error}", self.file) from None
        return [self._ready(stub, Source(self.file, 1, root), stub.name) for stub in stubs]

    def _check_keys(self, content: dict[Any, Any]) -> None:
        try:
            msgspec.convert({**content, "stubs": []}, StubFile)
        except msgspec.ValidationError as error:
            raise self._error(error, "") from None

    def _stub(self, item: Any, prefix: str, root: Path | None) -> ReadyStub:
        try:
            stub = msgspec.convert(item, Stub)
        except msgspec.ValidationError as error:
            raise self._error(error, prefix) from None
        except RecursionError:
            raise StubError("it is nested too deeply", self.file, self._line(f"$.{prefix}"), prefix) from None
        return self._ready(stub, Source(self.file, self._line(f"$.{prefix}"), root), prefix)

    def _ready(self, stub: Stub, source: Source, key: str) -> ReadyStub:
        try:
            return ReadyStub(stub, source)
        except ValueError as error:
            raise StubError(str(error), self.file, source.line, key) from None

    def _error(self, error: msgspec.ValidationError, prefix: str) -> StubError:
        message, _, path = str(error).rpartition(" - at `$")
        if not message:
            message, path = str(error), ""
        path = prefix + path.rstrip("`")
        if unknown := re.search("unknown field `([^`]+)`", message):
            path, message = f"{path}.{unknown[1]}", "there is no such key"
        path = path.replace("[...]", "").strip(".")
        return StubError(message[:1].lower() + message[1:], self.file, self._line(f"$.{path}"), path)

    def _read(self) -> Any:
        if self._text.lstrip()[:1] in ("{", "["):
            try:
                return msgspec.json.decode(self._text)
            except (msgspec.DecodeError, RecursionError) as error:
                if self.file is not None and self.file.suffix.lower() in (".json", ".har"):
                    position = re.search(r"\(byte (\d+)\)", str(error))
                    line = self._text.encode()[: int(position[1])].count(b"\n") + 1 if position else 1
                    raise StubError(f"is not JSON: {error}", self.file, line) from None
        try:
            node = self._composed()
            return None if node is None else _construct(self._text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise StubError(f"is not YAML: {error.problem}", self.file, mark.line + 1 if mark else 1) from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise StubError(f"is not YAML: {error}", self.file, 1) from None

    def _composed(self) -> yaml.Node | None:
        if self._node is None:
            self._node = yaml.compose(self._text, Loader=_LOADER)
            if self._node is not None:
                _Weights().check(self._node, self.file)
        return self._node

    def _line(self, path: str) -> int:
        """Return the line of the deepest part of `$.stubs[2].request` that there is; a key's own line."""
        try:
            node = self._composed()
        except (yaml.YAMLError, RecursionError):  # JSON that is no YAML, such as with tabs
            return 0
        if node is None:
            return 1
        line = node.start_mark.line + 1
        for key, number in _steps(path.removeprefix("$").replace("`", "")):
            found = _child(node, key, number)
            if found is None:
                break
            line, node = found
        return line


class _Weights:
    """Refuses what is small to read and large to have: anchors within anchors, and keys that are given twice."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def check(self, node: yaml.Node, file: Path | None) -> int:
        size = self._sizes.get(id(node))
        if size == 0:
            raise StubError("an anchor stands within itself", file, node.start_mark.line + 1)
        if size is not None:
            return size
        self._sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.MappingNode):
            seen = set[str]()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in seen:
                        raise StubError(f"the key {key.value} is given twice", file, key.start_mark.line + 1)
                    seen.add(key.value)
                size += self.check(key, file) + self.check(value, file)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self.check(item, file) for item in node.value)
        if size > _MAX_NODES:
            raise StubError(f"it says more than {_MAX_NODES} things", file, node.start_mark.line + 1)
        self._sizes[id(node)] = size
        return size


def _construct(text: str) -> Any:
    return _plain(yaml.load(text, Loader=_LOADER))  # a safe loader: see _LOADER


def _plain(value: Any) -> Any:
    """Return the value with dates as the texts that they were meant as, and every key a text."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _steps(path: str) -> Iterator[tuple[str, int | None]]:
    for match in _STEP.finditer(path if path.startswith(("[", ".")) else f".{path}"):
        yield match[1] or "", int(match[2]) if match[2] and match[2] != "..." else None


def _child(node: yaml.Node, key: str, number: int | None) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode) and key:
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and number is not None and number < len(node.value):
        item = node.value[number]
        return item.start_mark.line + 1, item
    return None
