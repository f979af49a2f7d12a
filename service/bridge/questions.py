"""The way back: what a reader asks all publishers, whoever answers."""

from collections.abc import Callable
from typing import Final, TypeAlias

import anyio
from anyio.abc import ByteSendStream
from anyio.streams.buffered import BufferedByteReceiveStream

Answer: TypeAlias = Callable[[], bytes]
"""Returns what a publisher has to say when it is asked. It never raises and never waits."""

_ANSWERED_WITHIN: Final = 1.0
"""Seconds after which those that have not answered are left out."""
QUESTION: Final = b"?"
LENGTH: Final = 4
"""Bytes of an answer that say how long the rest is."""


class Questions:
    """Asks those that are connected, all at once. For one event loop."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    async def serve(self, questions: ByteSendStream, answers: BufferedByteReceiveStream) -> None:
        """Have one more to ask, until it hangs up.

        :raises anyio.IncompleteRead: it did
        """
        asked = _Asked(questions)
        self._asked.append(asked)
        try:
            while True:
                length = int.from_bytes(await answers.receive_exactly(LENGTH))
                asked.hear(await answers.receive_exactly(length))
        finally:
            self._asked.remove(asked)
            asked.hear(None)

    async def ask(self) -> list[bytes]:
        """Return the answers of those that answer within a second."""
        answers: list[bytes] = []

        async def ask_one(asked: "_Asked") -> None:
            if (answer := await asked.ask()) is not None:
                answers.append(answer)

        with anyio.move_on_after(_ANSWERED_WITHIN):
            async with anyio.create_task_group() as tasks:
                for asked in self._asked:
                    tasks.start_soon(ask_one, asked)
        return answers


class _Asked:
    """One that answers. Who asks while a question is under way gets its answer, too."""

    def __init__(self, questions: ByteSendStream) -> None:
        self._questions = questions
        self._answer: bytes | None = None
        self._answered: anyio.Event | None = None

    async def ask(self) -> bytes | None:
        """Return the answer; None if it hung up."""
        answered = self._answered
        if answered is None:
            answered = self._answered = anyio.Event()
            try:
                await self._questions.send(QUESTION)
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.hear(None)
                return None
            except BaseException:  # nobody knows whether it was sent: the next asks again
                self.hear(None)
                raise
        await answered.wait()
        return self._answer

    def hear(self, answer: bytes | None) -> None:
        self._answer = answer
        answered, self._answered = self._answered, None
        if answered is not None:
            answered.set()
