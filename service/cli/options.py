"""Flags that commands have in common: those that stand for settings."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from pydantic import ValidationError
from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail

from .misspelt import misspelt

Command: TypeAlias = Callable[..., None]
Given: TypeAlias = dict[str, Any]
"""Values of flags by the names of settings. None stands for "not given", so that the environment counts."""

# The defaults shown by --help are those of Settings.
LogFile = Annotated[
    Path | None, typer.Option(help="The file that log lines are appended to.  [default: reqscope.jsonl]")
]
FLAGS: Final[dict[str, Any]] = {
    "host": Annotated[str | None, typer.Option(help="Address that both servers listen on.  [default: 127.0.0.1]")],
    "api_port": Annotated[int | None, typer.Option(help="Port of the API; also API_PORT.  [default: 8000]")],
    "panel_port": Annotated[int | None, typer.Option(help="Port of the panel; also GRADIO_PORT.  [default: 7860]")],
    "port_auto": Annotated[
        bool | None, typer.Option("--port-auto", help="Take the next free port where one is in use.")
    ],
    "log": Annotated[str | None, typer.Option(metavar="stdout|file|both|none", help="Where JSON log lines go.")],
    "log_file": LogFile,
    "access_log": Annotated[
        bool | None,
        typer.Option("--access-log", help="Print a line for each request on standard output, whatever --log says."),
    ],
    "capacity": Annotated[int | None, typer.Option(help="Events that the ring keeps.  [default: 10000]")],
    "bodies": Annotated[
        str | None,
        typer.Option("--bodies", metavar="off|errors|all", help="Bodies to keep: none, of failed requests, or all."),
    ],
    "replay": Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="RULES",
            help="What may be sent to the application again from the panel: methods, paths for methods that are safe, "
            "or both, such as 'GET,/items/*,POST /orders'.  [default: nothing]",
        ),
    ],
    "collector": Annotated[
        str | None,
        typer.Option(
            "--collector",
            metavar="ADDRESS",
            help="Where processes meet: `serve` reads what others hand over at unix:/tmp/reqscope.sock, "
            "redis://host:6379 or nats://host:4222.",
        ),
    ],
    "sign_in": Annotated[
        str | None,
        typer.Option(
            metavar="auto|on|off",
            help="Whether people sign in to the panel. auto: everybody where other machines can reach it or users are "
            "configured, else only other users of this machine.",
        ),
    ],
    "insecure": Annotated[
        bool | None,
        typer.Option("--insecure", help="Listen where others can reach it, although nobody is asked who they are."),
    ],
    "stubs": Annotated[
        Path | None, typer.Option("--stubs", help="A file or folder of stubs that answer every other path.")
    ],
}


def settings_flags(but: str = "") -> Callable[[Command], Command]:
    """Give a command the flags of settings, before its own. It is called with their values as its first argument.

    :param but: those that it does not have, separated by blanks
    """
    flags = {name: flag for name, flag in FLAGS.items() if name not in but.split()}

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(**values: Any) -> None:
            command({name: values.pop(name) for name in flags}, **values)

        _, *own = inspect.signature(command).parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        of_settings = [inspect.Parameter(name, keyword, default=None, annotation=flag) for name, flag in flags.items()]
        signature = inspect.Signature([*of_settings, *(each.replace(kind=keyword) for each in own)])
        with_settings.__signature__ = signature  # type: ignore[attr-defined]
        return with_settings

    return decorate


def read_settings(given: Given) -> Settings:
    """Return the settings, from flags over the environment, or end the command with what is wrong with them."""
    for variable, meant in misspelt(os.environ):
        err.print(f"[bold yellow]warning:[/] ${escape(variable)} sets nothing: is {meant} meant?", soft_wrap=True)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [_explain(str(each["loc"][0]), given, each["msg"], each["input"]) for each in error.errors()]
        fail("\n".join(wrong), status=2)


def with_defaults(settings: Settings, **defaults: object) -> Settings:
    """Return settings with other values for what nobody set."""
    return settings.model_copy(
        update={name: value for name, value in defaults.items() if name not in settings.model_fields_set}
    )


def origin(name: str) -> str:
    """Return the variable of the environment that sets this setting, or "default"."""
    return next((variable for variable in Settings.variables(name) if variable in os.environ), "default")


def _explain(location: str, given: Given, message: str, value: object) -> str:
    name = Settings.named(location)
    where = f"${origin(name)}" if given.get(name) is None else f"--{name.replace('_', '-')}"
    # Pydantic's own words say what was tried, too, and a value that is no error of ours is "Value error, …" to it.
    message = message.removeprefix("Value error, ").partition(", unable to")[0]
    return f"{where}: {message[0].lower()}{message[1:]}, not {value!r}"
