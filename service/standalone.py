"""One process, two ports: what the command line runs."""

import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.types import ASGIApp

from .admin import LOOPBACK_HOSTS, ControlPlane
from .collector import data_plane
from .launcher import Background, Launcher
from .mock import MockApp, StubStore
from .mock.record import Recorder
from .pipeline import Pipeline
from .ports import url
from .settings import Settings


def standalone(
    settings: Settings,
    app: ASGIApp,
    api: socket.socket,
    panel: socket.socket,
    *,
    ingest: bool,
    announce: Callable[[str, str], None],
    background: Callable[[str], Background] | None = None,
    stubs: StubStore | None = None,
    recorder: Recorder | None = None,
) -> Launcher:
    """Return what serves `app` on one socket and the panel on the other.

    :param ingest: whether `POST /log` and `POST /events` stand in front of `app`
    :param announce: called with the API's and the panel's address once they answer
    :param background: given the API's address, returns what to run beside the servers
    :param stubs: what answers instead of `app`, but for the paths of Reqscope's own
    :param recorder: where requests go that no stub answers
    :raises OSError: the log file cannot be opened
    """
    pipeline = Pipeline(settings)
    data: Any
    if stubs is not None:
        app = MockApp(stubs, app, recorder=recorder)
    if ingest:
        data, capture = data_plane(pipeline, app)
    else:
        data = capture = pipeline.capture(app)
    hosts = LOOPBACK_HOSTS if settings.is_loopback else ()
    control = ControlPlane(pipeline, lambda: asdict(capture.statistics()), hosts, stubs)
    return Launcher(
        data,
        api,
        control,
        panel,
        lifespan="on" if ingest else "auto",
        trusted_proxies=settings.trusted_proxies,
        background=[background(url(api))] if background else [],
        announce=lambda: announce(url(api), url(panel)),
    )
