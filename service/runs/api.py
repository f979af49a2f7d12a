"""The routes by which runs begin and end, and are read."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from reqscope.bus.encoding import encode

from .compare import Comparison
from .compare_html import comparison_html
from .model import Run, RunError, decode_run, encode_run, summary
from .recorder import RunRecorder
from .report_html import report_html
from .report_text import report_csv, report_markdown
from .thresholds import parse

Kind = Literal["html", "json", "csv", "markdown"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_HTML: Final = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store"}


class Begin(BaseModel):
    """A run to be begun."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(default="", max_length=200)
    tool: str = Field(default="", max_length=40, description="with it, requests of other load tools do not count")
    command: str = Field(default="", max_length=4_000)
    origin: Literal["api", "observe", "panel"] = "api"
    thresholds: list[str] = Field(default=[], max_length=50, description="such as p(95)<500")
    baseline: str = Field(default="", max_length=200, description="id, name or label of a run to compare with")
    only_marked: bool = Field(default=False, description="count only requests with X-Reqscope-Run: its id or label")

    @field_validator("thresholds")
    @classmethod
    def _check(cls, value: list[str]) -> list[str]:
        for text in value:
            parse(text)
        return value


class End(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="forbid")

    exit_status: int | None = None


class Pin(BaseModel):
    """Which run a baseline is."""

    model_config = ConfigDict(extra="forbid")

    run: str


def runs_router(recorder: RunRecorder) -> APIRouter:
    """Return the routes below `/api/runs` and `/api/baselines`."""
    router = APIRouter()

    @router.get("/api/runs", summary="Load-test runs: those that are live, and those that are kept")
    async def runs() -> Response:
        return _json(recorder.overview())

    @router.post("/api/runs", summary="Begin a run", status_code=201)
    async def begin(asked: Annotated[Begin | None, Body()] = None) -> Response:
        asked = asked or Begin()
        try:
            if asked.baseline:
                await recorder.load(asked.baseline)
            run = await recorder.begin(
                asked.label,
                origin=asked.origin,
                tool=asked.tool,
                command=asked.command,
                thresholds=asked.thresholds,
                baseline=asked.baseline,
                only_marked=asked.only_marked,
            )
        except RunError as error:
            raise HTTPException(409, str(error)) from None
        return _json(summary(run), 201)

    @router.post("/api/runs/import", summary="Keep a run that was exported elsewhere", status_code=201)
    async def keep(request: Request) -> Response:
        document = await request.body()
        try:
            run = decode_run(document)
            await recorder.change(lambda: recorder.store.save(run))
        except RunError as error:
            raise HTTPException(422, str(error)) from None
        return _json(summary(run), 201)

    @router.get("/api/runs/compare", summary="Two or more runs side by side, the first being what others are held to")
    async def compare(
        run: Annotated[list[str], Query(min_length=2, max_length=8)],
        format: Literal["html", "json", "markdown"] = "json",  # noqa: A002 - the parameter's public name
    ) -> Response:
        comparison = Comparison([await _load(recorder, name) for name in run])
        if format == "html":
            return Response(comparison_html(comparison), media_type="text/html", headers=_HTML)
        if format == "markdown":
            return Response(comparison.markdown(), media_type="text/markdown")
        return _json(comparison.document())

    @router.get("/api/runs/{run}", summary="One run whole, as it is exported")
    async def one(run: str) -> Response:
        return Response(encode_run(await _load(recorder, run)), media_type="application/json")

    @router.get("/api/runs/{run}/progress", summary="The numbers of a live run, in short")
    async def progress(run: str) -> Response:
        found = recorder.progress(run)
        return _json(found if found is not None else summary(await _load(recorder, run)))

    @router.get("/api/runs/{run}/report", summary="A report to read or to share")
    async def report(run: str, format: Kind = "html") -> Response:  # noqa: A002 - the parameter's public name
        return _report(await _load(recorder, run), format)

    @router.post("/api/runs/{run}/end", summary="End a run")
    async def end(run: str, asked: Annotated[End | None, Body()] = None) -> Response:
        try:
            ended = await recorder.end(run, exit_status=(asked or End()).exit_status)
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        return _json(summary(ended))

    @router.delete("/api/runs/{run}", summary="Forget a run", status_code=204)
    async def forget(run: str) -> Response:
        return await _changed(recorder, lambda: recorder.store.delete(run))

    @router.put("/api/baselines/{name}", summary="Have a name stand for a run", status_code=204)
    async def pin(name: str, asked: Pin) -> Response:
        return await _changed(recorder, lambda: recorder.store.pin(name, asked.run))

    @router.delete("/api/baselines/{name}", summary="Have a name stand for no run", status_code=204)
    async def unpin(name: str) -> Response:
        return await _changed(recorder, lambda: recorder.store.unpin(name))

    return router


def _report(run: Run, kind: Kind) -> Response:
    match kind:
        case "html":
            return Response(report_html(run), media_type="text/html", headers=_HTML)
        case "csv":
            return Response(report_csv(run), media_type="text/csv", headers=_attached(run, "csv"))
        case "markdown":
            return Response(report_markdown(run), media_type="text/markdown", headers=_attached(run, "md"))
        case "json":
            return Response(encode_run(run), media_type="application/json", headers=_attached(run, "json"))


def _attached(run: Run, suffix: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="run-{run.id}.{suffix}"'}


async def _load(recorder: RunRecorder, name: str) -> Run:
    try:
        return await recorder.load(name)
    except RunError as error:
        raise HTTPException(404, str(error)) from None


async def _changed(recorder: RunRecorder, action: Any) -> Response:
    try:
        await recorder.change(action)
    except RunError as error:
        raise HTTPException(404, str(error)) from None
    return Response(status_code=204)


def _json(content: object, status: int = 200) -> Response:
    return Response(encode(content), status, {"cache-control": "no-store"}, "application/json")
