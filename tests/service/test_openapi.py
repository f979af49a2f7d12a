"""Requests made from the OpenAPI documents, good ones and bad ones: no failure, and each answer is as documented."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from reqscope.bus import Event
from reqscope.service import Settings
from reqscope.service.admin import ControlPlane
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.hosts import LOOPBACK_HOSTS, Hosts
from reqscope.service.launcher import bounded
from reqscope.service.limits import Limits
from reqscope.service.mock import StubStore
from reqscope.service.pipeline import Pipeline

from .conftest import serving

PROVE: Final = settings.get_current_profile_name() == "prove"
UNHURRIED: Final = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)

CONTROL = (
    "/api/export",
    "/api/events/{event_id}/as/{client}",
    "/api/events",
    "/api/events/{event_id}",
    "/api/in-flight",
    "/api/errors",
    "/api/routes",
    "/api/stats",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/events/{event_id}/replay",
    "/api/history",
    "/api/workers",
    "/api/runs",
    "/api/runs/import",
    "/api/runs/compare",
    "/api/runs/{run}",
    "/api/runs/{run}/progress",
    "/api/runs/{run}/report",
    "/api/runs/{run}/end",
    "/api/baselines/{name}",
    "/api/stubs",
    "/api/stubs/schema",
    "/api/stubs/export",
    "/api/stubs/unmatched",
    "/api/stubs/chaos",
    "/api/stubs/draft",
    "/api/stubs/check",
    "/api/stubs/try",
    "/api/stubs/import",
    "/api/stubs/reset",
    "/api/stubs/{key}",
    "/api/verify",
)
ENDLESS = ("/api/events/stream",)
"""Routes that answer for as long as the client listens, and are tested by themselves."""
DATA = ("/log", "/events", "/livez")


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of both planes of one collector, which has seen something of everything."""
    runs_file = tmp_path_factory.mktemp("runs") / "runs.sqlite3"
    pipeline = Pipeline(Settings(log="none", bodies="all", runs_file=runs_file))
    plane, capture = data_plane(pipeline, fallback_app())
    control = ControlPlane(pipeline, lambda: asdict(capture.statistics()), Hosts(LOOPBACK_HOSTS), stubs=StubStore())
    options: dict[str, Any] = {"http": bounded(Limits()), "lifespan": "on"}
    with (
        start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(control.running()),
        portal.wrap_async_context_manager(serving(plane, **options)) as data_url,
        portal.wrap_async_context_manager(serving(control.app, **options)) as control_url,
    ):
        failed = Event(time=1, method="GET", path="/x", route="/{x}", status=500, error="ZeroDivisionError", total=0.1)
        portal.call(pipeline.bus.publish, failed)
        httpx.post(f"{data_url}/log", content=b"\xff\x00")
        httpx.get(f"{data_url}/nowhere?x=%ff")
        yield {"data": data_url, "control": control_url}


@pytest.fixture(scope="module")
def documents(planes: dict[str, str]) -> dict[str, Any]:
    return {name: schemathesis.openapi.from_url(f"{url}/openapi.json") for name, url in planes.items()}


def test_every_route_is_tried(documents: dict[str, Any]) -> None:
    paths = {
        name: {result.ok().path for result in document.get_all_operations()} for name, document in documents.items()
    }

    assert sorted(paths["control"]) == sorted(CONTROL + ENDLESS)
    assert sorted(paths["data"]) == sorted(DATA)


@pytest.mark.parametrize(
    ("plane", "path"), [*(("control", path) for path in CONTROL), *(("data", path) for path in DATA)]
)
def test_whatever_is_asked_is_answered_as_documented(documents: dict[str, Any], plane: str, path: str) -> None:
    operations = [result.ok() for result in documents[plane].get_all_operations() if result.ok().path == path]

    for operation in operations:

        @settings(max_examples=1_000 if PROVE else 12, suppress_health_check=UNHURRIED, deadline=None)
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            # A filter is more than a string.
            case.call_and_validate(excluded_checks=[positive_data_acceptance], timeout=60)

        ask()


def test_every_schema_that_is_named_is_there(planes: dict[str, str]) -> None:
    for url in planes.values():
        document = httpx.get(f"{url}/openapi.json").json()
        named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

        assert named == named & set(document["components"]["schemas"])


def test_a_stub_is_described_key_by_key(planes: dict[str, str]) -> None:
    document = httpx.get(f"{planes['control']}/openapi.json").json()
    operation = document["paths"]["/api/stubs"]["post"]
    taken = operation["requestBody"]["content"]

    assert taken.keys() == {"application/json", "application/yaml"}
    assert taken["application/json"]["schema"] == {"$ref": "#/components/schemas/Stub"}
    assert {"request", "response", "responses"} <= document["components"]["schemas"]["Stub"]["properties"].keys()
    assert operation["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Shown"
    }
