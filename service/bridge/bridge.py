"""What carries packed batches from the processes that capture to those that show."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import anyio

from .questions import Answer

Take: TypeAlias = Callable[[bytes, float], None]
"""Takes in one packed batch, which was published so many seconds ago. It never raises and never waits."""


class BridgeError(Exception):
    """The other side cannot be reached, or did not answer. What was to be published may or may not have been."""


class AddressError(ValueError):
    """There is no such bridge. The message says what to write instead."""


class Bridge(Protocol):
    """A way from any number of publishers to any number of readers.

    It carries whole batches in the order in which one publisher hands them over, and may carry one twice: batches
    have numbers, and readers leave out what they have seen. A process that shows what it captures itself needs none.
    """

    @property
    def heartbeat(self) -> float:
        """Seconds of quiet after which a publisher is to say that it is there."""
        ...

    @property
    def private(self) -> bool:
        """Whether only processes of this user, on this machine, can be at the other side: events may go sealed."""
        ...

    async def publish(self, packed: bytes, name: str) -> None:
        """Hand over one batch, and return once it is safe there. For one task at a time.

        If cancelled, the batch may or may not have been handed over; the next call is not mixed up with it.

        :param name: the same for a batch that is handed over again, and for no other; empty for a sign of life
        :raises BridgeError: it may not have been handed over
        """
        ...

    async def read(self, take: Take) -> None:
        """Give `take` what is retained, then what comes, until cancelled. For one task at a time.

        Called again after an error, it goes on behind the last batch that was taken.

        :raises BridgeError: it cannot be read now
        """
        ...

    async def ask(self) -> list[bytes] | None:
        """Return what each publisher answers that does so within a second. None where there is no way back to them."""
        ...

    async def answer(self, tell: Answer) -> None:
        """Answer readers that ask, until the connection to them ends; where there is no way back, wait for ever.

        It never raises, and has nothing to do with what is published meanwhile.
        """
        ...

    def check_readable(self) -> None:
        """Make sure that this process may read here, as far as that is known without waiting for anybody.

        :raises AddressError: it may not
        """
        ...

    async def aclose(self) -> None:
        """Give up connections. A later call makes new ones."""
        ...


class OneWay:
    """A bridge, or part of one, that knows no way back."""

    async def ask(self) -> list[bytes] | None:
        """See `Bridge.ask`."""
        return None

    async def answer(self, tell: Answer) -> None:
        """See `Bridge.answer`."""
        await anyio.sleep_forever()
