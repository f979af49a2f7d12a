"""The routes by which the panel replays a request: one that reads what would be sent, one that sends it."""

import base64
import binascii
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request
from msgspec.structs import asdict
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from reqscope.bus.encoding import encode

from .draft import Draft, Edited
from .problems import PROBLEM, problem
from .replay import NO_APPLICATION, Replay, ReplayError

_LONGEST: Final = 4 << 20
"""Bytes of an edited request, as JSON."""
_PRIVATE: Final = {"cache-control": "no-store"}


class Supplied(BaseModel):
    """What stands for a mask."""

    model_config = ConfigDict(extra="forbid")

    mask: str = Field(pattern="^[0-9a-f]{6}$", description="its six digits")
    secret: str = Field(min_length=1)


class Edits(BaseModel):
    """What is to be sent. What is left out is as it was captured."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    target: str | None = Field(default=None, description="path and query, percent-encoded")
    headers: list[tuple[str, str]] | None = None
    body: str | None = Field(default=None, description="empty for none")
    body_base64: str | None = None
    secrets: list[Supplied] = []


def replay_router(replay: Replay | None) -> APIRouter:
    """Return the routes below `/api/events/{id}/replay`. They are there, and say why, where nothing can be replayed.

    They are to stand behind the control plane's gates: what a page of another site sends is refused there.

    :param replay: None where there is no application to send anything to
    """
    router = APIRouter()

    @router.get("/api/events/{event_id}/replay", summary="A request as it would be sent again, to be edited")
    async def form(event_id: str, request: Request) -> Response:
        try:
            found = _present(replay)
            draft = found.draft(event_id)
        except ReplayError as error:
            return _refusal(error)
        return _json({**asdict(draft), "methods": found.rules.methods, "refused": _why_not(found, draft, request)})

    @router.post(
        "/api/events/{event_id}/replay", summary="Send a request to the application again", max_body_size=_LONGEST
    )
    async def send(event_id: str, request: Request, edits: Annotated[Edits | None, Body()] = None) -> Response:
        try:
            found = _present(replay)
            replayed = await found.send(event_id, _edited(edits or Edits()), _scope(request))
        except ReplayError as error:
            return _refusal(error)
        return _json({"replay_of": event_id, **replayed._asdict()})

    return router


def _present(replay: Replay | None) -> Replay:
    if replay is None:
        raise ReplayError(403, NO_APPLICATION)
    return replay


def _why_not(replay: Replay, draft: Draft, request: Request) -> str:
    """Why the request is not allowed as it was captured; empty if it is."""
    try:
        replay.check(draft.method, draft.target, _scope(request))
    except ReplayError as error:
        return str(error)
    return ""


def _edited(edits: Edits) -> Edited:
    body = None if edits.body is None else edits.body.encode("utf-8", "surrogatepass")
    if edits.body_base64 is not None:
        try:
            body = base64.b64decode(edits.body_base64, validate=True)
        except binascii.Error:
            raise ReplayError(422, "body_base64 is no base64") from None
    secrets = {supplied.mask: supplied.secret for supplied in edits.secrets}
    return Edited(edits.method, edits.target, edits.headers, body, secrets)


def _scope(request: Request) -> dict[str, Any]:
    """What an application that is called in this process finds of this request's: where it is, and who asks."""
    scope = request.scope
    known = {name: scope[name] for name in ("client", "server", "scheme") if scope.get(name) is not None}
    return {**known, "root_path": scope.get("app_root_path", "")}


def _json(content: object) -> Response:
    return Response(encode(content), media_type="application/json", headers=_PRIVATE)


def _refusal(error: ReplayError) -> Response:
    more = {"masks": error.masks} if error.masks else {}
    return Response(problem(error.status, str(error), **more), error.status, _PRIVATE, PROBLEM.decode())
