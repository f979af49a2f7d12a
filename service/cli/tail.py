"""`reqscope tail`: events in a terminal, or for the next command of a pipe."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from reqscope.service.terminal import fail, notice

if TYPE_CHECKING:
    from reqscope.service.renderers import Style


def tail(
    filter: Annotated[  # noqa: A002 - the argument's public name
        str,
        typer.Argument(
            metavar="FILTER",
            help="Which events, in the language of the panel: all without it. Behind `--` if a minus begins it.",
        ),
    ] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Begin with so many of the newest.")] = 10,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as events come, over lost connections and restarts too.")
    ] = False,
    url: Annotated[str, typer.Option(envvar="REQSCOPE_URL", help="Where the panel is.")] = "http://127.0.0.1:7860",
    as_json: Annotated[
        bool, typer.Option("--json", help="Lines of JSON, as the log has them: the default in a pipe or a file.")
    ] = False,
    as_logfmt: Annotated[bool, typer.Option("--logfmt", help="Lines of key=value pairs.")] = False,
    as_pretty: Annotated[bool, typer.Option("--pretty", help="Lines to look at: the default in a terminal.")] = False,
    token: Annotated[
        str, typer.Option(envvar="REQSCOPE_TOKEN", help="Sent as `Authorization: Bearer …`.", show_envvar=True)
    ] = "",
) -> None:
    """Print the requests that a running Reqscope sees. Notices, such as of a gap, go to standard error."""
    from reqscope.service.renderers import choose_renderer
    from reqscope.service.tail import Source, TailError
    from reqscope.service.tail import tail as print_events

    style = _style({"json": as_json, "logfmt": as_logfmt, "pretty": as_pretty})
    _check_filter(filter)
    try:
        source = Source(url, filter, lines, follow, token)
    except TailError as error:
        fail(error, status=2)
    try:
        print_events(source, choose_renderer(style), notice)
    except TailError as error:
        fail(error)


def _style(wanted: "dict[Style, bool]") -> "Style | None":
    styles: list[Style] = [style for style, chosen in wanted.items() if chosen]
    if len(styles) > 1:
        fail(f"--{styles[0]} and --{styles[1]} say different things; pass one of them", status=2)
    return styles[0] if styles else None


def _check_filter(text: str) -> None:
    from reqscope.bus import Filter, FilterError
    from reqscope.bus.visible import visible

    try:
        Filter.parse(text)
    except FilterError as error:
        before = visible(text[: error.position])
        line = before + visible(text[error.position :])
        fail(f"{error}\n  {line}\n  {' ' * cell_len(before)}^", status=2)
