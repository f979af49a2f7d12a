"""The query API's part on workers."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from .bridge.receiver import Receiver
from .partial import partial_view
from .pipeline import Pipeline
from .query import JSON


def workers_router(receiver: Receiver | None, pipeline: Pipeline) -> APIRouter:
    """Return the route that tells which processes report here, or where this one reports to.

    :param receiver: None where no other process reports
    """
    router = APIRouter(default_response_class=JSON)

    @router.get("/api/workers", summary="Processes that report here, what each sent and what is missing")
    async def workers() -> Response:
        publisher = None if pipeline.publisher is None else asdict(pipeline.publisher.statistics())
        rows = [] if receiver is None else [asdict(row) for row in receiver.workers.rows()]
        summary = None if receiver is None else receiver.summary()
        return JSON({"workers": rows, "summary": summary, "publisher": publisher, "partial": partial_view(pipeline)})

    return router
