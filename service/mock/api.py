"""The admin API of stubs: what there is, changes to it, and questions about what was asked."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
import yaml
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from reqscope.bus import EventBus
from reqscope.bus.schema import text_or_base64
from reqscope.service.query import JSON

from .answer import AnswerTooLarge
from .chaos import Chaos
from .documents import Switch, Try
from .drafts import draft_of_event, draft_of_unmatched
from .files import StubError, parse
from .journal import as_text
from .matching import ReadyStub
from .paths import is_reserved
from .request import MockRequest
from .store import StubStore
from .stub import Stub, json_schema
from .verify import read_verify, verify

_MAX_BODY: Final = 4 << 20
_UNMATCHED: Final = 20
"""Unmatched requests that an overview shows."""


def mock_router(store: StubStore, bus: EventBus) -> APIRouter:
    """Return the routes under `/api/stubs`, and `/api/verify`."""
    router = APIRouter(default_response_class=JSON)

    @router.get("/api/stubs", summary="Every stub, in the order in which they are tried")
    async def stubs() -> Response:
        return JSON(overview(store))

    @router.get("/api/stubs/schema", summary="JSON Schema of a file of stubs")
    async def schema() -> Response:
        return JSON(json_schema())

    @router.get("/api/stubs/export", summary="Every stub as a file: YAML, or JSON with ?format=json")
    async def export(format: str = "yaml") -> Response:  # noqa: A002 - the parameter's public name
        content = {"stubs": [msgspec.to_builtins(each.stub) for each in store.index.stubs]}
        if format == "json":
            return JSON(content, headers={"content-disposition": 'attachment; filename="stubs.json"'})
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        named = {"content-disposition": 'attachment; filename="stubs.yaml"'}
        return Response(text, media_type="application/yaml", headers=named)

    @router.get("/api/stubs/unmatched", summary="The latest requests that no stub answered, and why")
    async def unmatched() -> Response:
        return JSON({"unmatched": list(store.journal.unmatched)[::-1]})

    @router.get("/api/stubs/chaos", summary="What goes wrong on purpose at present")
    async def chaos() -> Response:
        return JSON({"chaos": store.chaos})

    @router.put("/api/stubs/chaos", summary="Have a share of all answers go wrong, for a time")
    async def start_chaos(request: Request) -> Response:
        store.chaos = _decoded(await _body(request), Chaos)
        return JSON({"chaos": store.chaos})

    @router.delete("/api/stubs/chaos", summary="End that now")
    async def end_chaos() -> Response:
        store.chaos = None
        return JSON({"chaos": None})

    @router.get("/api/stubs/draft", summary="A stub for a request that came: ?event=ID or ?unmatched=NUMBER, as YAML")
    async def draft(event: str = "", unmatched: int = 0) -> Response:
        found = bus.find(event) if event else None
        miss = next((each for each in store.journal.unmatched if each.id == unmatched), None)
        if found is None and miss is None:
            raise HTTPException(404, "this request is no longer remembered")
        stub = draft_of_event(found.open()) if found is not None else draft_of_unmatched(miss) if miss else None
        if stub is None:
            raise HTTPException(422, "no stub may answer this path: it is Reqscope's own, or holds a secret")
        return Response(as_yaml(stub), media_type="application/yaml")

    @router.post("/api/stubs/check", summary="Whether a stub is right; nothing is added")
    async def check(request: Request) -> Response:
        return JSON({"ok": True, "stub": msgspec.to_builtins(_stub(await _body(request)))})

    @router.post("/api/stubs/try", summary="What a request would be answered with; nothing is counted")
    async def try_(request: Request) -> Response:
        return JSON(_tried(store, _decoded(await _body(request), Try)))

    @router.post("/api/stubs", summary="Add one stub, before those of its priority", status_code=201)
    async def add(request: Request) -> Response:
        stub = _stub(await _body(request))
        return JSON(_shown(store, store.find_stub(_checked(lambda: store.add(stub)))), status_code=201)

    @router.post("/api/stubs/import", summary="Add all of a file, in any known format", status_code=201)
    async def import_(request: Request) -> Response:
        content = await _body(request)
        found = _parsed(content)
        keys = _checked(lambda: store.add_all(each.stub for each in found))
        return JSON({"added": len(keys), "keys": keys}, status_code=201)

    @router.post("/api/stubs/reset", summary="Forget requests, hits and states; stubs stay")
    async def reset() -> Response:
        store.reset()
        return JSON({"reset": True})

    @router.delete("/api/stubs", summary="Go back to the stubs of the files")
    async def clear() -> Response:
        store.clear()
        return JSON({"stubs": len(store.index.stubs)})

    @router.get("/api/stubs/{key}", summary="One stub: JSON, or YAML with ?format=yaml")
    async def one(key: str, format: str = "json") -> Response:  # noqa: A002 - the parameter's public name
        if format == "yaml":
            return Response(as_yaml(_found(store, key).stub), media_type="application/yaml")
        return JSON(_shown(store, _found(store, key)))

    @router.put("/api/stubs/{key}", summary="Replace a stub")
    async def replace(key: str, request: Request) -> Response:
        _found(store, key)
        stub = _stub(await _body(request))
        _checked(lambda: store.replace(key, stub))
        return JSON(_shown(store, _found(store, key)))

    @router.patch("/api/stubs/{key}", summary='Switch a stub on or off: {"enabled": false}')
    async def enable(key: str, request: Request) -> Response:
        _found(store, key)
        store.enable(key, _decoded(await _body(request), Switch).enabled)
        return JSON(_shown(store, _found(store, key)))

    @router.delete("/api/stubs/{key}", summary="Remove a stub")
    async def delete(key: str) -> Response:
        _found(store, key)
        store.delete(key)
        return JSON({"deleted": key})

    @router.post("/api/verify", summary="Whether requests came, how often, in what order: 200, or 409 and why not")
    async def verify_(request: Request) -> Response:
        content = await _body(request)
        try:
            verdict = verify(store, read_verify(content))
        except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
            raise HTTPException(422, str(error)) from None
        return JSON(verdict, status_code=200 if verdict.ok else 409)

    return router


def overview(store: StubStore) -> dict[str, Any]:
    """Return what there is to say of the mock as a whole."""
    return {
        "stubs": [_shown(store, each) for each in store.index.stubs],
        "errors": [{"message": str(each), "line": each.line, "key": each.key} for each in store.errors],
        "states": store.states,
        "chaos": store.chaos,
        "unmatched": list(store.journal.unmatched)[: -_UNMATCHED - 1 : -1],
    }


def _shown(store: StubStore, ready: ReadyStub) -> dict[str, Any]:
    hits, last = store.hits(ready.key)
    file = ready.source.file
    return {
        "key": ready.key,
        "name": ready.name,
        "enabled": ready.enabled,
        "hits": hits,
        "last": last // 1_000_000 or None,
        "source": "api" if file is None else f"{file.name}:{ready.source.line}",
        "edited": store.is_edited(ready.key),
        "stub": msgspec.to_builtins(ready.stub),
    }


def _found(store: StubStore, key: str) -> ReadyStub:
    try:
        return store.find_stub(key)
    except KeyError:
        raise HTTPException(404, f"there is no stub {key}; GET /api/stubs lists them") from None


def as_yaml(stub: Stub) -> str:
    """Return a stub as one writes it."""
    return yaml.safe_dump(msgspec.to_builtins(stub), sort_keys=False, allow_unicode=True, width=120)


def _tried(store: StubStore, what: Try) -> dict[str, Any]:
    parts = urlsplit(what.path)
    headers = tuple((name.lower().encode(), value.encode("utf-8", "replace")) for name, value in what.headers.items())
    request = MockRequest(
        what.method.upper(), unquote(parts.path), parts.query.encode(), headers, what.body.encode("utf-8", "replace")
    )
    if is_reserved(request.path):
        raise HTTPException(422, f"{request.path} is Reqscope's own and never reaches a stub")
    try:
        found = store.preview(request)
    except AnswerTooLarge:
        raise HTTPException(422, "what the template makes of this is larger than an answer may be") from None
    if found is None:
        return {"stub": None, "nearest": store.nearest(request, store.masked(request))}
    stub, answer = found
    text, base64 = text_or_base64(answer.body)
    return {
        "stub": stub.name,
        "status": answer.status,
        "headers": as_text(answer.headers),
        "body": text,
        "base64": base64,
        "delay": answer.delay,
        "fault": answer.fault,
    }


def _stub(content: bytes) -> Stub:
    """Return the one stub that a body describes, in YAML or JSON."""
    found = _parsed(content)
    if len(found) != 1:
        raise HTTPException(422, f"one stub is wanted here, not {len(found)}; POST /api/stubs/import takes many")
    return found[0].stub


def _parsed(content: bytes) -> list[ReadyStub]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise HTTPException(422, "it is not UTF-8") from None
    found: list[ReadyStub] = _checked(lambda: parse(text))
    return found


def _decoded(content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HTTPException(422, str(error)) from None


def _checked(step: Any) -> Any:
    try:
        return step()
    except StubError as error:
        line = f"line {error.line}: " if error.line else ""
        raise HTTPException(422, f"{line}{error}") from None


async def _body(request: Request) -> bytes:
    size = 0
    chunks: list[bytes] = []
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            raise HTTPException(413, f"the body is larger than {_MAX_BODY >> 20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)
