"""The admin API of stubs: what there is, changes to it, and questions about what was asked."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml
from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from reqscope.service.query import JSON

from .files import StubError, parse
from .matching import ReadyStub
from .store import Chaos, StubStore
from .stub import Stub, json_schema
from .verify import read_verify, verify

_MAX_BODY: Final = 16 << 20


async def from_here(request: Request) -> None:
    """Refuse a change that a page of another site asks for: a browser would send it with no question asked."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or (origin is not None and urlsplit(origin).netloc != host):
        raise HTTPException(403, "a page of another site may not change stubs")


def mock_router(store: StubStore) -> APIRouter:
    """Return the routes under `/api/stubs`, and `/api/verify`."""
    router = APIRouter(default_response_class=JSON)
    change = [Depends(from_here)]

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

    @router.put("/api/stubs/chaos", summary="Have a share of all answers go wrong, for a time", dependencies=change)
    async def start_chaos(request: Request) -> Response:
        store.chaos = _decoded(await _body(request), Chaos)
        return JSON({"chaos": store.chaos})

    @router.delete("/api/stubs/chaos", summary="End that now", dependencies=change)
    async def end_chaos() -> Response:
        store.chaos = None
        return JSON({"chaos": None})

    @router.post("/api/stubs", summary="Add one stub, before those of its priority", dependencies=change)
    async def add(request: Request) -> Response:
        stub = _decoded(await _body(request), Stub)
        return JSON(_shown(store, store.find_stub(_checked(lambda: store.add(stub)))), status_code=201)

    @router.post("/api/stubs/import", summary="Add all of a file, in any known format", dependencies=change)
    async def import_(request: Request) -> Response:
        try:
            text = (await _body(request)).decode()
        except UnicodeDecodeError:
            raise HTTPException(422, "the file is not UTF-8") from None
        found = _checked(lambda: parse(text))
        keys = _checked(lambda: store.add_all(each.stub for each in found))
        return JSON({"added": len(keys), "keys": keys}, status_code=201)

    @router.post("/api/stubs/reset", summary="Forget requests, hits and states; stubs stay", dependencies=change)
    async def reset() -> Response:
        store.reset()
        return JSON({"reset": True})

    @router.delete("/api/stubs", summary="Go back to the stubs of the files", dependencies=change)
    async def clear() -> Response:
        store.clear()
        return JSON({"stubs": len(store.index.stubs)})

    @router.get("/api/stubs/{key}", summary="One stub")
    async def one(key: str) -> Response:
        return JSON(_shown(store, _found(store, key)))

    @router.put("/api/stubs/{key}", summary="Replace a stub", dependencies=change)
    async def replace(key: str, request: Request) -> Response:
        _found(store, key)
        stub = _decoded(await _body(request), Stub)
        _checked(lambda: store.replace(key, stub))
        return JSON(_shown(store, _found(store, key)))

    @router.patch("/api/stubs/{key}", summary='Switch a stub on or off: {"enabled": false}', dependencies=change)
    async def enable(key: str, request: Request) -> Response:
        _found(store, key)
        store.enable(key, _decoded(await _body(request), _Switch).enabled)
        return JSON(_shown(store, _found(store, key)))

    @router.delete("/api/stubs/{key}", summary="Remove a stub", dependencies=change)
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


class _Switch(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool


def overview(store: StubStore) -> dict[str, Any]:
    """Return what there is to say of the mock as a whole."""
    return {
        "stubs": [_shown(store, each) for each in store.index.stubs],
        "errors": [{"message": str(each), "line": each.line, "key": each.key} for each in store.errors],
        "states": store.states,
        "chaos": store.chaos,
        "unmatched": len(store.journal.unmatched),
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


def _decoded(content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HTTPException(422, str(error)) from None


def _checked(step: Any) -> Any:
    try:
        return step()
    except StubError as error:
        raise HTTPException(422, str(error)) from None


async def _body(request: Request) -> bytes:
    size = 0
    chunks: list[bytes] = []
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            raise HTTPException(413, f"the body is larger than {_MAX_BODY >> 20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)
