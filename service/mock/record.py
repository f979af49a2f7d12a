"""Record mode: what no stub answers goes to the real service, and its answer becomes a stub, secrets masked."""

import logging
import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import msgspec
import yaml
from anyio import to_thread

from .answer import Answer
from .files import load_file
from .har import at_path
from .request import MockRequest, pairs
from .store import StubStore
from .stub import MAX_ANSWER, Stub

logger = logging.getLogger(__name__)

_TIMEOUT: Final = 30.0
_NOT_SENT: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade", b"te", b"trailer",
     b"proxy-authorization", b"proxy-connection", b"accept-encoding", b"expect")
)  # fmt: skip
_NOT_PASSED: Final = frozenset(
    ("content-length", "transfer-encoding", "connection", "keep-alive", "content-encoding", "upgrade", "trailer")
)
_NOT_SAVED: Final = _NOT_PASSED | {"set-cookie", "date", "server", "www-authenticate", "proxy-authenticate", "via"}


class RecordError(Exception):
    """The real service gave no answer that can be passed on, in words for whoever asked."""


class Recorder:
    """A proxy to one service and no other, which follows no redirects.

    :param upstream: the service's address, such as `https://api.example.com/v1`
    :param file: where stubs are saved, and read from again; to be one of the store's paths or inside of one
    :raises ValueError: the address is none
    """

    def __init__(self, upstream: str, file: Path, store: StubStore) -> None:
        url = httpx.URL(upstream)
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError(f"{upstream!r} is not an address such as https://api.example.com")
        self._url = url
        self._file = file
        self._store = store
        self._saving = anyio.Lock()
        self._trusted = httpx.create_ssl_context()  # once: reading the certificates would hold up each request

    async def forward(self, request: MockRequest) -> Answer:
        """Return what the service answers.

        :raises RecordError: it cannot be reached, or its answer is too large
        """
        headers = [(name, value) for name, value in request.raw_headers if name.lower() not in _NOT_SENT]
        # The path is part of the path: nothing in it can name another host.
        target = (self._url.path.rstrip("/") + request.path).encode()
        raw = httpx.URL(path=target.decode()).raw_path + (b"?" + request.raw_query if request.raw_query else b"")
        url = self._url.copy_with(raw_path=raw)
        try:
            async with (
                httpx.AsyncClient(verify=self._trusted, timeout=_TIMEOUT, follow_redirects=False) as client,
                client.stream(request.method, url, headers=headers, content=request.body) as response,
            ):
                body = await _bounded(response)
        except httpx.HTTPError as error:
            raise RecordError(f"{self._url.host} cannot be reached: {type(error).__name__}") from None
        passed = tuple(
            (name.lower(), value) for name, value in response.headers.raw if name.lower().decode() not in _NOT_PASSED
        )
        await self._save(request, response, body)
        return Answer(response.status_code, passed, body)

    async def _save(self, request: MockRequest, response: httpx.Response, body: bytes) -> None:
        stub = self._stub(request, response, body)
        if stub is None:
            logger.warning("%s is not recorded: its path holds a secret", request.method)
            return
        async with self._saving:
            await to_thread.run_sync(self._append, stub)
            self._store.apply(await to_thread.run_sync(self._store.read))

    def _stub(self, request: MockRequest, response: httpx.Response, body: bytes) -> dict[str, Any] | None:
        shown = self._store.masked(request)
        asked = at_path(request.method, request.path)
        if shown.path != request.path or asked is None:
            return None
        before, after = pairs(request.raw_query), dict(pairs(shown.raw_query))
        if before:
            # What was masked may be anything, as long as it is there.
            asked["query"] = {name: value if after.get(name) == value else {} for name, value in before}
        if isinstance(request.json, dict | list) and shown.body == request.body:
            asked["json_equals"] = request.json
        redaction = self._store.redaction
        kind = response.headers.get("content-type", "")
        raw = [(name.lower(), value) for name, value in response.headers.raw if name.lower().decode() not in _NOT_SAVED]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in redaction.headers(raw)}
        answer: dict[str, Any] = {"status": response.status_code, "headers": headers, "template": False}
        return {"request": asked, "response": answer | _content(redaction.body(body, kind.encode("latin-1")), kind)}

    def _append(self, stub: dict[str, Any]) -> None:
        made = msgspec.convert(stub, Stub)
        have = [each.stub for each in load_file(self._file)] if self._file.exists() else []
        stubs = [msgspec.to_builtins(each) for each in (*have, made)]
        text = yaml.safe_dump({"stubs": stubs}, sort_keys=False, allow_unicode=True, width=120)
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(text, "utf-8")
        temporary.replace(self._file)  # whoever reads it meanwhile reads the one or the other


def _content(body: bytes, kind: str) -> dict[str, Any]:
    if not body:
        return {}
    try:
        if re.search(r"[/+]json\b", kind):
            return {"json": msgspec.json.decode(body)}
        return {"body": body.decode()}
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return {"base64": b64encode(body).decode()}


async def _bounded(response: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise RecordError(f"the answer is larger than {MAX_ANSWER} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
