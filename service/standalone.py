"""One process, two ports: what the command line runs."""

import re
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
from starlette.types import ASGIApp

from .admin import ControlPlane
from .admission import standalone_policy
from .bridge.addresses import connect
from .bridge.receiver import Receiver
from .collector import data_plane
from .hosts import hosts_for
from .identity import Policy, SignIn
from .ingest import ROUTES as INGEST_ROUTES
from .launcher import Background, Launcher
from .limits import open_limits, strict_limits
from .mock import MockApp, StubStore
from .mock.record import Recorder
from .pipeline import Pipeline
from .ports import url
from .replay import Replay
from .replay_rules import ReplayRules
from .settings import Settings


def example(settings: Settings, api: str, *, ingest: bool, stubs: StubStore | None = None) -> str:
    """Return a command that sends the API at that address a request.

    :param stubs: one of these answers it, if one answers a plain GET
    """
    if stubs is not None:
        return f"curl {api}{_plain_path(stubs)}"
    if not ingest:
        return f"curl {api}/"
    token = "" if settings.is_loopback or settings.insecure else " -H 'Authorization: Bearer TOKEN'"
    return f"curl -X POST --data hello{token} {api}/log"


def _plain_path(stubs: StubStore) -> str:
    """The path of the first stub that a bare GET reaches; else the root, and why nothing answers is shown."""
    for each in stubs.index.stubs:
        path = each.stub.request.path or ""
        takes_it = each.enabled and not each.conditions and "GET" in (each.methods or ["GET"])
        if takes_it and re.fullmatch(r"/[\w/.~-]*", path, re.ASCII):
            return path
    return "/"


def standalone(
    settings: Settings,
    app: ASGIApp,
    api: socket.socket,
    panel: socket.socket,
    *,
    ingest: bool,
    replays: bool = True,
    announce: Callable[[str, str], None],
    background: Callable[[str], Background] | None = None,
    stubs: StubStore | None = None,
    recorder: Recorder | None = None,
    announce_link: Callable[[str, bool], None] = lambda address, used: None,
) -> Launcher:
    """Return what serves `app` on one socket and the panel on the other.

    :param ingest: whether `POST /log` and `POST /events` stand in front of `app`
    :param replays: whether `app` is one that requests can be sent to again
    :param announce: called with the API's and the panel's address once they answer
    :param background: given the API's address, returns what to run beside the servers
    :param stubs: what answers instead of `app`, but for the paths of Reqscope's own
    :param recorder: where requests go that no stub answers
    :param announce_link: called with an address that lets one browser in, and whether the one before has been used
    :raises OSError: the log file cannot be opened
    :raises AddressError: there is no such collector
    :raises PrivateFileError: the file of users or tokens cannot be used
    :raises LogSettingsError: the log cannot be as the settings want it
    """
    pipeline = Pipeline(settings)
    beside = [background(url(api))] if background else list[Background]()
    receiver = None
    if settings.collector and ingest:
        receiver = Receiver(pipeline.bus, connect(settings.collector), faults=pipeline.faults)
        beside.append(receiver.run)
    elif settings.collector:
        pipeline.publish_as()
    data: Any
    if stubs is not None:
        app = MockApp(stubs, app, recorder=recorder)
    if ingest:
        data, capture = data_plane(pipeline, app)
    else:
        data = capture = pipeline.capture(app)
    replay = _replay(pipeline, url(api), INGEST_ROUTES if ingest else ()) if replays else None
    limits, control_limits = (strict_limits if ingest else open_limits)(settings), strict_limits(settings)

    def statistics() -> dict[str, Any]:
        return {**asdict(capture.statistics()), "refused": dict(limits.refused + control_limits.refused)}

    collects = ingest and background is None  # there is no application to look at
    links: dict[str, str | int] = {} if collects else {"app_port": api.getsockname()[1]}
    policy = standalone_policy(settings, links)
    control = ControlPlane(
        pipeline,
        statistics,
        hosts_for(settings),
        policy,
        replay,
        receiver=receiver,
        stubs=stubs,
        example=example(settings, url(api), ingest=ingest, stubs=stubs),
    )
    entrance = _entrance(policy, url(panel), announce_link)
    return Launcher(
        data,
        api,
        control,
        panel,
        limits=limits,
        control_limits=control_limits,
        lifespan="on" if ingest else "auto",
        trusted_proxies=settings.trusted_proxies,
        background=beside,
        announce=lambda: announce(url(api), entrance),
        reopen_logs=pipeline.reopen_logs,
    )


def workers_panel(
    settings: Settings,
    api: socket.socket,
    panel: socket.socket,
    *,
    expected: int,
    announce: Callable[[str], None],
    announce_link: Callable[[str, bool], None] = lambda address, used: None,
) -> Launcher:
    """Return what serves the panel of workers that report to the collector of the settings.

    :param api: what the workers serve the application on
    :param expected: how many workers there are
    :param announce: called with the panel's address once it answers
    :param announce_link: called with an address that lets one browser in, and whether the one before has been used
    :raises OSError: the log file cannot be opened
    :raises PrivateFileError: the file of users or tokens cannot be used
    :raises LogSettingsError: the log cannot be as the settings want it
    """
    pipeline = Pipeline(settings)
    receiver = Receiver(pipeline.bus, connect(settings.collector), expected, pipeline.faults)
    limits = strict_limits(settings)
    policy = standalone_policy(settings, {"app_port": api.getsockname()[1]})
    control = ControlPlane(
        pipeline,
        lambda: {"refused": dict(limits.refused)},
        hosts_for(settings),
        policy,
        receiver=receiver,
        example=example(settings, url(api), ingest=False),
    )
    entrance = _entrance(policy, url(panel), announce_link)
    return Launcher(
        None,
        api,
        control,
        panel,
        control_limits=limits,
        trusted_proxies=settings.trusted_proxies,
        background=[receiver.run],
        announce=lambda: announce(entrance),
        reopen_logs=pipeline.reopen_logs,
    )


def _entrance(policy: Policy, address: str, announce_link: Callable[[str, bool], None]) -> str:
    """Return where to begin, and have links announced where they are for more than the path."""
    if not isinstance(policy, SignIn):
        return address
    if policy.link is not None:
        policy.link.announce = lambda path, used: announce_link(address + path, used)
    return address + policy.entrance


def _replay(pipeline: Pipeline, address: str, ignored: tuple[str, ...]) -> Replay:
    """The way back into the application, at its own address."""

    def transport() -> httpx.AsyncBaseTransport:
        # It is plain HTTP within this machine: loading certificates would only hold up the event loop.
        return httpx.AsyncHTTPTransport(verify=False, trust_env=False)

    return Replay(
        pipeline.bus, pipeline.marks, ReplayRules(pipeline.settings.replay), transport, address, ignored=ignored
    )
