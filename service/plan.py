"""What a capture is to do, and where what it sees goes."""

from typing import Literal, TypeAlias

from starlette.types import Scope

from reqscope.bus import EventBus

from .faults import Faults
from .replay_marks import Marks
from .routes import below_root
from .sampling import Sampling
from .sealed import Gate

Bodies: TypeAlias = Literal["off", "errors", "all"]


class CapturePlan:
    """One for all exchanges of a middleware, whose arguments these are.

    Apart from the middleware, because every request reads most of it, and a class of its own can be compiled.
    """

    def __init__(
        self,
        bus: EventBus,
        gate: Gate,
        faults: Faults,
        marks: Marks,
        sampling: Sampling | None,
        ignored_prefixes: tuple[str, ...],
        bodies: Bodies,
        correlate: bool,
        echo: bool,
    ) -> None:
        self.bus = bus
        self.gate = gate
        self.faults = faults
        self.marks = marks
        self.sampling = sampling
        self.ignored_prefixes = ignored_prefixes
        self.bodies = bodies
        self.correlate = correlate
        self.echo = echo
        self.ignored = 0
        """Requests that were passed on unwatched because of their path."""
        self.skipped = 0
        """Those that were because capture was switched off by its circuit breaker."""

    def ignores(self, scope: Scope) -> bool:
        """Whether that request is to be passed on unwatched, which is counted."""
        path = below_root(scope)
        ignored = any(path == prefix or path.startswith(prefix + "/") for prefix in self.ignored_prefixes)
        self.ignored += ignored
        return ignored
