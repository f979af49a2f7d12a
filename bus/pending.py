"""What is to be on the bus, and is no event yet."""

from typing import Protocol

from .event import Event


class Pending(Protocol):
    """Something that happened, of which an event is made a moment later.

    What makes it many times in a row takes half as long as what makes each in between other work: the processor has
    the code at hand, and the memory.
    """

    def make(self) -> Event | None:
        """Return the event; None where it is not to be published. Called once. Never raises."""
        ...

    def lose(self, error: Exception) -> None:
        """Hear that the event could not be published. Never raises."""
        ...
