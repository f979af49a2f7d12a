"""Who is measured."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from benchmarks import capture_apps
from benchmarks.server import Factory

from . import apps

BARE: Final = "bare application"
MINIMUM: Final = "hand-written minimum"


@dataclass(frozen=True)
class Contender:
    """One way to see the requests of an application."""

    name: str
    factory: Factory
    package: str = ""
    """What has to be installed for it."""
    access_log: bool = False
    """Have uvicorn write its own."""

    @property
    def version(self) -> str:
        """Return which version of its package is installed; empty where it needs none.

        :raises PackageNotFoundError: it is not installed
        """
        return version(self.package) if self.package else ""

    @property
    def available(self) -> bool:
        try:
            _ = self.version
        except PackageNotFoundError:
            return False
        return True


CONTENDERS: Final = (
    Contender(BARE, capture_apps.bare_shop),
    Contender(MINIMUM, capture_apps.minimum_shop),
    Contender("Reqscope, without request ids", capture_apps.uncorrelated_shop),
    Contender("Reqscope, as it comes (bodies off)", capture_apps.captured_shop),
    Contender("Reqscope, bodies of errors", capture_apps.captured_errors_shop),
    Contender("Reqscope, all bodies", capture_apps.captured_bodies_shop),
    Contender("asgi-correlation-id", apps.correlation_id, "asgi-correlation-id"),
    Contender("structlog, plain ASGI", apps.structlog_asgi, "structlog"),
    Contender("structlog, usual recipe", apps.structlog_recipe, "structlog"),
    Contender("uvicorn's access log", apps.uvicorn_access_log, "uvicorn", access_log=True),
    Contender("prometheus-fastapi-instrumentator", apps.prometheus_instrumentator, "prometheus-fastapi-instrumentator"),
    Contender("OpenTelemetry", apps.opentelemetry, "opentelemetry-instrumentation-fastapi"),
    Contender(
        "OpenTelemetry, server spans only", apps.opentelemetry_server_spans, "opentelemetry-instrumentation-fastapi"
    ),
    Contender("Logfire", apps.logfire, "logfire"),
    Contender("fastapi-radar, DuckDB", apps.fastapi_radar_duckdb, "fastapi-radar"),
    Contender("fastapi-radar, SQLite", apps.fastapi_radar_sqlite, "fastapi-radar"),
)
"""In the order they take turns in. The first is what all are compared with."""
