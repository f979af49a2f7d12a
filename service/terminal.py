"""What commands print: on standard output what was asked for, and on standard error all else."""

import sys
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console()
err = Console(stderr=True, highlight=False)


def fail(message: object, status: int = 1) -> NoReturn:
    """Say why the command cannot go on, and end it.

    :param status: 2 where the command line is wrong
    """
    err.print(f"[bold red]error:[/] {escape(str(message))}", soft_wrap=True)
    sys.exit(status)


def notice(text: str) -> None:
    """Say what happens meanwhile."""
    err.print(f"[dim]reqscope: {escape(text)}[/]", soft_wrap=True)


def examples(*commands: str, then: str = "") -> str:
    """Return what stands at the end of a command's help: an example on each line, to be copied.

    :param then: what there is to say after them
    """
    listed = "\n".join(f"- `{command}`" for command in commands)
    return f"{'Examples' if len(commands) > 1 else 'Example'}:\n\n{listed}\n\n{then}"


def make_table(*headings: str) -> Table:
    """Return a table without lines, whose cells are folded and never cut."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
