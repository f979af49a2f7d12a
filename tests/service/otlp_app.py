"""An application that exports with OpenTelemetry, to be run in a process of its own.

`python otlp_app.py instrumented ENDPOINT` uses the SDK with the instrumentation for FastAPI, and `native ENDPOINT`
FastAPI's own telemetry. Either serves itself one request of each kind and ends, which flushes what the exporters hold.
"""

import logging
import os
import sys

from fastapi import FastAPI
from fastapi.testclient import TestClient


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> dict[str, int]:
        logging.getLogger("shop.stock").warning("looked at item %d, password=hunter22", item)
        return {"item": item}

    @app.get("/fails")
    async def fails() -> None:
        raise ZeroDivisionError("on purpose")

    return app


def visit(app: FastAPI) -> None:
    with TestClient(app, raise_server_exceptions=False, base_url="http://shop.example") as client:
        client.get("/items/3?token=s3cretvalue&page=2", headers={"user-agent": "visitor/1"})
        client.get("/items/x")
        client.get("/fails")


def instrumented(endpoint: str) -> None:
    from opentelemetry import trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "shop", "service.version": "1.2"})
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces", compression=Compression.Gzip))
    )
    trace.set_tracer_provider(spans)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs")))
    set_logger_provider(logs)
    logging.getLogger("shop").addHandler(LoggingHandler(logger_provider=logs))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))
    metrics = MeterProvider([reader], resource=resource)

    app = shop()
    FastAPIInstrumentor.instrument_app(app, meter_provider=metrics)
    visit(app)
    for provider in (spans, logs, metrics):
        provider.shutdown()


def native(endpoint: str) -> None:
    os.environ |= {
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "shop",
    }
    visit(shop())


if __name__ == "__main__":
    {"instrumented": instrumented, "native": native}[sys.argv[1]](sys.argv[2])
