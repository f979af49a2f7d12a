"""What a reader of the ring gets."""

import msgspec

from .event import Event


class Batch(msgspec.Struct, frozen=True):
    """What a reader gets: everything since its cursor, and what is no longer there."""

    events: list[Event]
    """In order, oldest first, without holes."""
    missed: int
    """How many events before the first of these were evicted unseen."""
    next: int
    """The cursor to go on from: the number of the last event seen or missed."""
