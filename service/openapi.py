"""The OpenAPI documents: what the control plane's routes answer, and what the data plane takes."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from fastapi import FastAPI
from msgspec.json import schema_components

from reqscope.bus.refusedfields import RefusedFields
from reqscope.bus.routestats import RouteRow
from reqscope.bus.running import Running
from reqscope.bus.schema import Detail, FailureView, Summary

from .batches import MAX_RECORDS, Record
from .bridge.publisher import PublisherStatistics
from .bridge.workers import WorkerRow
from .ingest import MAX_BATCH, MAX_BODY, Logged
from .mock import documents
from .mock.stub import Stub, StubFile
from .problems import PROBLEM

Document: TypeAlias = dict[str, Any]


class Problem(msgspec.Struct):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Events(msgspec.Struct):
    """Go on with `after=next`."""

    events: list[Summary]
    missed: int
    next: int


class InFlight(msgspec.Struct):
    """The oldest first.

    Where workers report here, theirs: of each the 200 oldest at most, of those that `answered` within a second, out of
    the `expected` ones. None where a broker stands between, so that they cannot be asked.
    """

    in_flight: list[Running]
    count: int
    answered: int | msgspec.UnsetType | None = msgspec.UNSET
    expected: int | msgspec.UnsetType = msgspec.UNSET


class Failures(msgspec.Struct):
    """Exceptions, the latest first, and the fields that the latest answers of 422 say were refused."""

    errors: list[FailureView]
    refused: RefusedFields


class Routes(msgspec.Struct):
    """The busiest first."""

    routes: list[RouteRow]


class Reporting(msgspec.Struct):
    """Processes that report here; what is said of them together; what this one hands over, and why it is not all."""

    workers: list[WorkerRow]
    summary: dict[str, Any] | None
    publisher: PublisherStatistics | None
    partial: str


class BadRecord(msgspec.Struct):
    """A line that could not be read."""

    line: int
    error: str


class Accepted(msgspec.Struct):
    """What became of a batch, with the first ten errors."""

    accepted: int
    rejected: int
    errors: list[BadRecord]


_ANSWERS: Final[Mapping[str, Any]] = {
    "/api/events": Events,
    "/api/events/{event_id}": Detail,
    "/api/in-flight": InFlight,
    "/api/errors": Failures,
    "/api/routes": Routes,
    "/api/stats": dict[str, Any],
    "/api/workers": Reporting,
    "/livez": dict[str, str],
    "/readyz": dict[str, Any],
    **documents.ANSWERS,
}
_TEXTS: Final = {
    "/api/export": {"application/x-ndjson": "string", "text/csv": "string", "application/json": "object"},
    "/api/events/{event_id}/as/{client}": {"text/plain": "string"},
    "/api/runs/compare": {"application/json": "object", "text/html": "string", "text/markdown": "string"},
    "/api/runs/{run}/report": {
        "text/html": "string",
        "text/markdown": "string",
        "text/csv": "string",
        "application/json": "object",
    },
    "/metrics": {"text/plain": "string", "application/openmetrics-text": "string"},
    **documents.TEXTS,
}
_JSON: Final = "application/json"
_ACK: Final[Document] = {
    "name": "ack",
    "in": "query",
    "description": "`disk`: answer only when the records are in the log file, and synced to the disk.",
    "schema": {"type": "string", "enum": ["disk"]},
}
_UNUSED: Final = ("HTTPValidationError", "ValidationError")
"""What FastAPI would answer. Here it is a problem."""


def describe(app: FastAPI) -> None:
    """Make the document of `app` say what its routes really answer: FastAPI cannot tell from a finished response."""
    generate = app.openapi

    def openapi() -> Document:
        if app.openapi_schema is None:
            document = generate()
            schemas, components = _schemas([Problem, *_ANSWERS.values(), *documents.TAKEN.values()])
            known, taken = dict(zip(_ANSWERS, schemas[1:], strict=False)), schemas[1 + len(_ANSWERS) :]
            bodies = dict(zip(documents.TAKEN, taken, strict=True))
            bodied = {name: each for name, each in document["components"]["schemas"].items() if name not in _UNUSED}
            document["components"]["schemas"] = {**bodied, **components}
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    said = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
                    route = f"{method} {path}"
                    answer = known.get(route, known.get(path))
                    operation["responses"] = {**said, **_responses(path, next(iter(said)), answer, schemas[0])}
                    if route in bodies:
                        operation["requestBody"] = _body(route, bodies[route])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def data_plane_document(version: str) -> Document:
    """Return the document of the ingest routes, which are no FastAPI routes."""
    (logged, accepted, alive, trouble, record), components = _schemas(
        [Logged, Accepted, dict[str, str], Problem, Record]
    )
    refused = {"4XX": _answer("Refused", trouble, PROBLEM.decode()), "503": _going_down(trouble)}
    array = {"type": "array", "items": record, "maxItems": MAX_RECORDS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Reqscope data plane", "version": version},
        "paths": {
            "/log": {
                "post": {
                    "summary": f"One record: any body of up to {MAX_BODY} bytes",
                    "operationId": "log",
                    "parameters": [_ACK],
                    "requestBody": {"content": {"*/*": {"schema": {}}}},
                    "responses": {"200": _answer("Taken", logged, _JSON), **refused},
                }
            },
            "/events": {
                "post": {
                    "summary": f"Many records, of up to {MAX_BATCH} bytes: lines of JSON, an array or one object",
                    "operationId": "events",
                    "parameters": [_ACK],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/x-ndjson": {"schema": {"type": "string"}},
                            _JSON: {"schema": {"anyOf": [array, record]}},
                        },
                    },
                    "responses": {"200": _answer("Taken, but for what is listed", accepted, _JSON), **refused},
                }
            },
            "/livez": {
                "get": {
                    "summary": "The event loop turns",
                    "operationId": "livez",
                    "responses": {"200": _answer("It does", alive, _JSON)},
                }
            },
        },
        "components": {"schemas": components},
    }


def _schemas(types: list[Any]) -> tuple[tuple[Document, ...], Document]:
    return schema_components(types, ref_template="#/components/schemas/{name}")


def _responses(path: str, status: str, known: Document | None, trouble: Document) -> Document:
    answers: Document = {}
    if known is not None:
        answers[status] = _answer("The answer", known, _JSON)
    elif path in _TEXTS:
        content = {kind: {"schema": {"type": of}} for kind, of in _TEXTS[path].items()}
        answers["200"] = {"description": "The answer", "content": content}
    if path == "/readyz":
        answers["503"] = _answer("Not ready", known or {}, _JSON)
    if path == "/api/verify":
        answers["409"] = _answer("It was not so", known or {}, _JSON)
    answers["4XX"] = _answer("Refused", trouble, PROBLEM.decode())
    return answers


def _body(route: str, schema: Document) -> Document:
    kinds = (_JSON, "application/yaml") if documents.TAKEN[route] in (Stub, StubFile) else (_JSON,)
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def _answer(description: str, schema: Document, media_type: str) -> Document:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _going_down(trouble: Document) -> Document:
    retry = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}
    return {**_answer("The monitor is going down", trouble, PROBLEM.decode()), "headers": retry}
