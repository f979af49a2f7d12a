"""Finds the application that MODULE:APP names, and says what is wrong where there is none."""

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_NOT_ITS_OWN: Final = (__file__, importlib.__file__, "<frozen importlib")
"""Beginnings of the names of files that are ours and Python's."""


class ApplicationError(Exception):
    """The application cannot be had; its text says why."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace
        """Where its own code failed, if that is why: a traceback that begins there."""


def load_application(target: str, *, factory: bool, folder: Path) -> Any:
    """Return the ASGI application that `target` names.

    :param factory: it names a function that returns the application
    :param folder: where modules are looked for first
    :raises ApplicationError: there is none, or its own code failed
    """
    module, _, name = target.partition(":")
    if not module or not name:
        raise ApplicationError(f"{target} is not MODULE:APP; the `app` of shop/main.py is shop.main:app")
    loaded = _attribute(_import(module, folder.resolve()), name)
    if factory:
        loaded = _made(loaded, target)
    _check(loaded, f"{target}()" if factory else target)
    return loaded


def _import(name: str, folder: Path) -> ModuleType:
    if not folder.is_dir():
        raise ApplicationError(f"there is no folder {folder}; name another with --app-dir")
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise ApplicationError(
                f"there is no module {missing} in {folder}; say with --app-dir where to look"
            ) from None
        raise _failed(f"{name} cannot be imported", error) from error


def _attribute(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ApplicationError(f"there is no {name} in {module.__name__}, which is {module.__file__}") from None
    return found


def _made(factory: Any, target: str) -> Any:
    try:
        return factory()
    except Exception as error:
        raise _failed(f"{target}() failed", error) from error


def _failed(what: str, error: Exception) -> ApplicationError:
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename.startswith(_NOT_ITS_OWN):
        place = place.tb_next
    trace = "".join(traceback.format_exception(error.with_traceback(place)))
    return ApplicationError(f"{what}: {traceback.format_exception_only(error)[-1].strip()}", trace)


def _check(app: Any, name: str) -> None:
    """Refuse now what could answer no request."""
    if not callable(app):
        raise ApplicationError(f"{name} is no ASGI application, but {type(app).__name__}")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # some callables have none that could be known
    try:
        signature.bind("scope", "receive", "send")
    except TypeError:
        raise ApplicationError(
            f"{name} is no ASGI application: it takes no scope, receive and send. "
            "If it is a function that returns one, pass --factory"
        ) from None
