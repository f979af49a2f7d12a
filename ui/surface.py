"""What of Gradio's own surface the page uses. All the rest of it is not there."""

import base64
import hashlib
import logging
import re
from collections.abc import Iterable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Measured: what Chromium asks for on every page of the panel, after a restart of the server too. Not here, and so
# closed: uploads, files, the proxy, log-in and tokens, run and call, heartbeats, monitoring, the API's documents.
_READ: Final = re.compile(
    r"/|/(?:assets|static)/[\w.-]+(?:/[\w.-]+)*|/theme\.css|/favicon\.ico|/manifest\.json"
    r"|/gradio_api/(?:queue/data|app_id)"
)
_WRITTEN: Final = re.compile(r"/gradio_api/(?:queue/join|component_server)/?")

_IMMUTABLE: Final = (b"cache-control", b"private, max-age=31536000, immutable")  # their names hold a hash of them
_REVALIDATED: Final = (b"cache-control", b"private, no-cache")

_INLINE: Final = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


class Surface:
    """Gradio's application, of which the panel's page is served, and nothing else is found.

    The page comes with the policy that says which scripts it holds, and files with how long they may be kept.

    :param scripts: what Gradio puts into the page later, as inline scripts
    """

    def __init__(self, gradio: ASGIApp, scripts: Iterable[str] = ()) -> None:
        self._gradio = gradio
        self._hashes = [_hash(script.encode()) for script in scripts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._gradio(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # the page opens none
            return
        path = _below_mount(scope)
        if not _is_used(scope["method"], path):
            raise HTTPException(404, f"there is no {path}")
        if path == "/":
            send = _Page(send, self._hashes)
        elif path.startswith("/assets/"):
            send = _adding(_IMMUTABLE, send)
        elif not path.startswith("/gradio_api/"):
            send = _adding(_REVALIDATED, send)
        if scope["method"] == "POST":
            await self._call(scope, receive, send)
        else:
            await self._gradio(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what the page sends. Gradio trusts it to be what its own page sends, and fails with anything else."""
        failed = False

        async def unless_failed(message: Message) -> None:
            nonlocal failed
            failed = failed or message.get("status", 200) == 500
            if not failed:
                await send(message)

        try:
            await self._gradio(scope, receive, unless_failed)
        except Exception as error:  # whatever Gradio makes of it
            if not failed:
                raise
            logger.warning("a call of the panel could not be handled: %r", error)
        if failed:
            raise HTTPException(400, "this is not what the panel's page sends")


class _Page:
    """Sends the page once it is whole, with its policy.

    The scripts that stand in it are Gradio's and the panel's own: nothing that was captured is in the page itself. So
    each is allowed by its hash, and one that gets in later, as an attribute or an address too, does not run.
    """

    def __init__(self, send: Send, hashes: list[str]) -> None:
        self._send = send
        self._hashes = hashes
        self._start: Message = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = bytes(self._body)
        hashes = [*self._hashes, *map(_hash, _INLINE.findall(body))]
        headers = [*self._start["headers"], (b"content-security-policy", policy(hashes).encode())]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def policy(hashes: Iterable[str]) -> str:
    """Return the page's content security policy: the strictest that Gradio 6 lives with.

    `unsafe-eval`, because Gradio compiles templates and listeners with `new Function`. `unsafe-inline` for styles,
    because its components set style attributes and add style elements; what a style could fetch is the server's only.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'unsafe-eval' {' '.join(hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _is_used(method: str, path: str) -> bool:
    used = {"GET": _READ, "HEAD": _READ, "POST": _WRITTEN}.get(method)
    return used is not None and used.fullmatch(path) is not None and ".." not in path


def _below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _adding(header: tuple[bytes, bytes], send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], header]}
        await send(message)

    return add


def _hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
