"""Why a server could not be reached, for people."""

import httpx

from reqscope.bus.visible import visible


def reason(error: httpx.HTTPError) -> str:
    """Return what the system says of it, without the number that it has there; safe to print."""
    text = str(error).removeprefix("[Errno ")
    return visible(text.partition("] ")[2] or text or type(error).__name__)
