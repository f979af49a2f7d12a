"""Work that must not delay the thread that asks for it."""

import threading
from collections.abc import Callable


class Chore:
    """Calls a function in a daemon thread of its own, soon after it is asked to.

    :param name: what debuggers call the thread
    :param function: must raise nothing
    :param pause: seconds between two calls at the least; all that was asked meanwhile is one
    """

    def __init__(self, name: str, function: Callable[[], object], pause: float) -> None:
        self._name = name
        self._function = function
        self._pause = pause
        self._asked = False
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Have the function called once more. Returns at once. To be called by one thread at a time."""
        if self._thread is None or not self._thread.is_alive():  # a forked process has no threads but one
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._asked = True
        self._woken.set()

    def stop(self) -> None:
        """Let the thread end once it has done what it was asked for, without waiting for it."""
        self._stopped.set()
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            stopped = self._stopped.is_set()
            if self._asked:
                self._asked = False
                self._function()
            if stopped:
                return
            self._stopped.wait(self._pause)
