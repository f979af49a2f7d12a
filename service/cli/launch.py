"""From settings to two servers that run until a signal."""

import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail

from .checks import check_history, log_errors

if TYPE_CHECKING:
    from reqscope.service.launcher import Background
    from reqscope.service.mock import StubStore
    from reqscope.service.mock.record import Recorder


def launch(
    settings: Settings,
    make_app: Callable[[], Any],
    *,
    ingest: bool,
    replays: bool = True,
    background: "Callable[[str], Background] | None" = None,
    stubs: "StubStore | None" = None,
    recorder: "Recorder | None" = None,
) -> NoReturn:
    """Serve an application and the panel in this process, and exit when both have ended.

    :param make_app: called once the ports are there
    :param ingest: the API takes records, too
    :param replays: requests may be sent to the application again, if the settings say which
    :param background: returns, for the address of the API, what runs beside the servers
    """
    check_history(settings)
    api, panel = listen_on_both(settings)
    application = make_app()
    err.print("Reqscope is starting …", style="dim")
    from reqscope.service.identity import PrivateFileError
    from reqscope.service.standalone import standalone  # takes seconds: it imports Gradio

    if settings.log_processors:
        sys.path.insert(0, os.getcwd())
    try:
        with log_errors(settings):
            launcher = standalone(
                settings,
                application,
                api,
                panel,
                ingest=ingest,
                replays=replays,
                announce=announcer(settings, ingest, stubs),
                background=background,
                announce_link=announce_link,
                stubs=stubs,
                recorder=recorder,
            )
    except PrivateFileError as error:
        fail(error)
    sys.exit(launcher.run())


def listen_on_both(settings: Settings) -> tuple[socket.socket, socket.socket]:
    """Return the sockets of the API and of the panel."""
    from reqscope.service.ports import PortError, listen

    try:
        return (
            listen(settings.host, settings.api_port, "--api-port", auto=settings.port_auto),
            listen(settings.host, settings.panel_port, "--panel-port", auto=settings.port_auto),
        )
    except PortError as error:
        fail(error)


def announcer(settings: Settings, ingest: bool, stubs: "StubStore | None" = None) -> Callable[[str, str], None]:
    """Return what prints the addresses of the API and of the panel once they answer.

    :param ingest: the API takes records: the example sends one
    :param stubs: those that answer: the example asks one of them
    """

    def announce(api: str, panel: str) -> None:
        from reqscope.service.standalone import example

        if stubs is not None:
            count = len(stubs.index.stubs)
            err.print(f"  [bold]{'Stubs':<8}[/]{count}, listed on the panel's page Mock", soft_wrap=True)
        command = example(settings, api, ingest=ingest, stubs=stubs)
        for name, value in (("Panel", panel), ("API", api), ("Try", command)):
            err.print(f"  [bold]{name:<8}[/]{escape(value)}", soft_wrap=True)
        if "/sign-in?link=" in panel:
            err.print("  The panel's link lets in one browser, once.", style="dim")
        err.print("  Ctrl-C stops both.", style="dim")

    return announce


def announce_link(address: str, used: bool) -> None:
    """Print an address that lets one browser in, and why: the one before is used, or a stranger asks."""
    stranger = "Another user of this machine, or a proxy, wants to see the panel. To let one browser in:"
    err.print("  Somebody has signed in with the link. The next one:" if used else f"  {stranger}", style="dim")
    err.print(f"  [bold]{'Panel':<8}[/]{escape(address)}", soft_wrap=True)
