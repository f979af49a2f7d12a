"""Which way `reqscope tail` writes events."""

import os
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from reqscope.bus.encoding import encode

from .logfmt import logfmt
from .pretty import Pretty

Style: TypeAlias = Literal["json", "logfmt", "pretty"]


def choose_renderer(style: Style | None) -> Callable[[dict[str, Any]], str]:
    """Return what makes a line of an event; without a style, for people on a terminal and JSON anywhere else.

    There is colour on a terminal that knows colours, unless `NO_COLOR` is set (https://no-color.org).
    """
    terminal = sys.stdout.isatty()
    match style or ("pretty" if terminal else "json"):
        case "json":
            # Anew, rather than as it came: it may come from any server, and is to be safe to print.
            return lambda entry: encode(entry).decode()
        case "logfmt":
            return logfmt
        case "pretty":
            return pretty(terminal)


def pretty(terminal: bool) -> Pretty:
    """Return what makes lines for people, with colour on a terminal that knows colours and for those who want them."""
    return Pretty(terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")
