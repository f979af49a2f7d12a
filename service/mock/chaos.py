"""Answers that go wrong on purpose, for a while."""

from typing import Final

import msgspec

from .stub import Fault, Scalar, seconds

_MAX_CHAOS: Final = 3_600.0


class Chaos(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A share of all answers goes wrong, for a time that is bounded."""

    share: float = 0.5
    status: int = 503
    fault: Fault | None = None
    delay: Scalar = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("a share is more than 0, and up to 1")
        if not 400 <= self.status <= 599:
            raise ValueError("the status of an error is from 400 to 599")
        if not 0 < self.seconds <= _MAX_CHAOS:
            raise ValueError(f"it lasts from 0 to {_MAX_CHAOS:g} seconds")
        seconds(self.delay)
