"""Exceptions as they are exported: a type, a message, and a stack trace in the words of its language."""

import re
from typing import Final

from reqscope.bus import Failure

from .failures import Frame, Raised, fingerprint
from .otlp_attributes import short_type
from .otlp_records import Attributes, text
from .sealed import Gate

_FRAME: Final = re.compile(r'^ {2}File "([^"\n]{1,1000})", line (\d{1,9}), in ([^\n]{1,200})$', re.MULTILINE)
_MAX_FRAMES: Final = 200
_MAX_TRACE: Final = 64 << 10
_LIBRARY: Final = re.compile(r"[/\\](?:site-packages|dist-packages|lib[/\\]python3[^/\\]*)[/\\]|^<frozen")


def exported_failure(attributes: Attributes, route: str | None, gate: Gate) -> Failure | None:
    """Return the exception that `attributes` tell of, secrets masked, or None if they tell of none.

    https://opentelemetry.io/docs/specs/semconv/exceptions/
    """
    kind, message = text(attributes.get("exception.type")), text(attributes.get("exception.message"))
    if not kind and not message:
        return None
    trace = text(attributes.get("exception.stacktrace"))[-_MAX_TRACE:]
    return Failure(
        type=gate.text(short_type(kind) or "exception"),
        message=gate.text(message),
        traceback=gate.text(trace or f"{kind}: {message}"),
        fingerprint=fingerprint(Raised(kind, "", _frames(trace), None, explicit=False), route),
    )


def _frames(trace: str) -> tuple[Frame, ...]:
    """The lines that it came through; of a language other than Python, none."""
    found = [Frame(file, int(line), function) for file, line, function in _FRAME.findall(trace)[-_MAX_FRAMES:]]
    # The libraries of another process may be anywhere, so they are known by the names of their folders.
    return tuple([frame for frame in found if not _LIBRARY.search(frame.file)] or found)
