"""`reqscope serve` and `reqscope demo`: servers with something of Reqscope's own to answer requests."""

from reqscope.service.terminal import err

from .checks import check_collector, guarded
from .launch import launch
from .mock import load_stubs
from .options import Given, read_settings, settings_flags, with_defaults


@settings_flags(but="replay")
def serve(given: Given) -> None:
    """Collect requests and records: `POST /log`, `POST /events`, and a panel that shows them."""
    settings = guarded(read_settings(given), ingest=True)
    if settings.replay:
        err.print("REQSCOPE_REPLAY has no effect here: a collector has no application to send requests to.")
    check_collector(settings, listens=True)
    from reqscope.service.collector import fallback_app

    stubs = None if settings.stubs is None else load_stubs(settings.stubs, settings)
    launch(settings, fallback_app, ingest=True, replays=False, stubs=stubs)


@settings_flags(but="collector stubs")
def demo(given: Given) -> None:
    """Like `serve`, with a small shop and its customers.

    Keeps bodies, lets requests to the shop be replayed, and logs nothing, unless told.
    """
    settings = guarded(read_settings(given), ingest=True)
    settings = with_defaults(settings, log="none", bodies="all", replay=("*", "POST /orders"))
    from reqscope.service.demo import customers, shop_app

    launch(settings, shop_app, ingest=True, background=customers)
