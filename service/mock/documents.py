"""What the admin API of stubs takes and answers, as types that its OpenAPI document is made from."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .chaos import Chaos
from .journal import Unmatched
from .matching import Miss
from .stub import Stub, StubFile
from .verify import Verdict, Verify


class Try(msgspec.Struct, forbid_unknown_fields=True):
    """A request to be tried."""

    method: str = "GET"
    path: str = "/"
    """With the query, if there is one."""
    headers: dict[str, str] = {}
    body: str = ""


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """Whether a stub is to answer."""

    enabled: bool


class Shown(msgspec.Struct):
    """A stub, and what became of it."""

    key: str
    name: str
    enabled: bool
    hits: int
    last: int | None
    """When it answered last, in milliseconds since the epoch."""
    source: str
    """Name and line of its file, or `api`."""
    edited: bool
    stub: Stub


class BrokenFile(msgspec.Struct):
    """Why a file could not be read. What it said before is in use."""

    message: str
    line: int
    key: str


class Overview(msgspec.Struct):
    """Stubs in the order in which they are tried, and the latest requests that none answered."""

    stubs: list[Shown]
    errors: list[BrokenFile]
    states: dict[str, str]
    chaos: Chaos | None
    unmatched: list[Unmatched]


class Unanswered(msgspec.Struct):
    """The latest first."""

    unmatched: list[Unmatched]


class ChaosNow(msgspec.Struct):
    """None where all goes well."""

    chaos: Chaos | None


class Checked(msgspec.Struct):
    """A stub that is right."""

    ok: bool
    stub: Stub


class WouldAnswer(msgspec.Struct):
    """What a request would be answered with; without a stub, those that are nearest, and nothing else."""

    stub: str | None
    nearest: list[Miss] | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    headers: list[tuple[str, str]] | msgspec.UnsetType = msgspec.UNSET
    body: str | msgspec.UnsetType | None = msgspec.UNSET
    base64: str | msgspec.UnsetType | None = msgspec.UNSET
    delay: float | msgspec.UnsetType = msgspec.UNSET
    """In seconds."""
    fault: str | msgspec.UnsetType | None = msgspec.UNSET


class Imported(msgspec.Struct):
    """How many stubs were added, and their keys."""

    added: int
    keys: list[str]


ANSWERS: Final[Mapping[str, Any]] = {
    "get /api/stubs": Overview,
    "post /api/stubs": Shown,
    "delete /api/stubs": dict[str, int],
    "get /api/stubs/schema": dict[str, Any],
    "get /api/stubs/unmatched": Unanswered,
    "get /api/stubs/chaos": ChaosNow,
    "put /api/stubs/chaos": ChaosNow,
    "delete /api/stubs/chaos": ChaosNow,
    "post /api/stubs/check": Checked,
    "post /api/stubs/try": WouldAnswer,
    "post /api/stubs/import": Imported,
    "post /api/stubs/reset": dict[str, bool],
    "get /api/stubs/{key}": Shown,
    "put /api/stubs/{key}": Shown,
    "patch /api/stubs/{key}": Shown,
    "delete /api/stubs/{key}": dict[str, str],
    "post /api/verify": Verdict,
}
"""What a route answers, by method and path."""

TAKEN: Final[Mapping[str, Any]] = {
    "post /api/stubs": Stub,
    "put /api/stubs/{key}": Stub,
    "post /api/stubs/check": Stub,
    "post /api/stubs/import": StubFile,
    "patch /api/stubs/{key}": Switch,
    "put /api/stubs/chaos": Chaos,
    "post /api/stubs/try": Try,
    "post /api/verify": Verify,
}
"""What it takes. Stubs may be YAML, too."""

TEXTS: Final = {
    "/api/stubs/export": {"application/yaml": "object", "application/json": "object"},
    "/api/stubs/draft": {"application/yaml": "object"},
}
