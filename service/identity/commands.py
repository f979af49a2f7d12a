"""`reqscope user` and `reqscope token`."""

import sys
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, examples, fail, make_table, out

users_app = typer.Typer(help="Who may sign in to the panel.", no_args_is_help=True)
tokens_app = typer.Typer(help="Tokens for programs that send or read records.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What to call it.")]


@users_app.command("add", epilog=examples("reqscope user add alice --admin", "pass show panel | reqscope user add bob"))
def add_user(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    admin: Annotated[bool, typer.Option("--admin", help="May clear and change things, and not only look.")] = False,
) -> None:
    """Add a user, or change the password and role of one. Asks for the password, or reads a line of standard input."""
    from .private_file import PrivateFileError
    from .users import UserError, Users

    settings = _settings()
    try:
        Users(settings.users_file).add(name, _password(), "admin" if admin else "viewer")
    except (UserError, PrivateFileError) as error:
        fail(error)
    may = "may look, and change things" if admin else "may look; pass --admin for one who may change things, too"
    err.print(f"{escape(name)} {may}. Kept in {escape(str(settings.users_file))}", soft_wrap=True)


@users_app.command("list")
def list_users() -> None:
    """List who may sign in."""
    from .private_file import PrivateFileError
    from .users import Users

    settings = _settings()
    try:
        users = Users(settings.users_file).all()
    except PrivateFileError as error:
        fail(error)
    if not users:
        err.print("There are no users. Add one with: reqscope user add NAME")
        return
    _print(("Name", "Role"), [(user.name, user.role) for user in users])


@users_app.command("remove", epilog=examples("reqscope user remove alice"))
def remove_user(name: Annotated[str, typer.Argument(help="The name of the user.")]) -> None:
    """Remove a user. Their open pages close within seconds."""
    from .private_file import PrivateFileError
    from .users import UserError, Users

    try:
        Users(_settings().users_file).remove(name)
    except (UserError, PrivateFileError) as error:
        fail(error)
    err.print(f"{escape(name)} is removed.")


@tokens_app.command("add", epilog=examples("reqscope token add ci --scope ingest > ci.token"))
def add_token(
    name: Name,
    scope: Annotated[
        list[str],
        typer.Option(metavar="ingest|read|admin", help="What it is for; can be given several times."),
    ],
) -> None:
    """Make a token, and print it, this once. It is kept as a hash."""
    from .private_file import PrivateFileError
    from .tokens import PURPOSES, TokenError, Tokens

    unknown = [each for each in scope if each not in PURPOSES]
    if unknown:
        fail(f"--scope is one of {', '.join(PURPOSES)}, not {unknown[0]}", status=2)
    try:
        token = Tokens(_settings().tokens_file).add(name, [each for each in PURPOSES if each in scope])
    except (TokenError, PrivateFileError) as error:
        fail(error)
    print(token)
    err.print("Send it as: Authorization: Bearer TOKEN. It is not shown again.", soft_wrap=True)


@tokens_app.command("list")
def list_tokens() -> None:
    """List the tokens: their names, what they are for and when they were made."""
    from .private_file import PrivateFileError
    from .tokens import Tokens

    try:
        tokens = Tokens(_settings().tokens_file).all()
    except PrivateFileError as error:
        fail(error)
    if not tokens:
        err.print("There are no tokens. Make one with: reqscope token add NAME --scope ingest")
        return
    _print(("Name", "Scopes", "Made"), [(token.name, ", ".join(token.scopes), token.created) for token in tokens])


@tokens_app.command("remove", epilog=examples("reqscope token remove ci"))
def remove_token(name: Annotated[str, typer.Argument(help="The name of the token.")]) -> None:
    """Remove a token. Nobody gets in with it from now on."""
    from .private_file import PrivateFileError
    from .tokens import TokenError, Tokens

    try:
        Tokens(_settings().tokens_file).remove(name)
    except (TokenError, PrivateFileError) as error:
        fail(error)
    err.print(f"{escape(name)} is removed.")


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        wrong = [(Settings.variables(Settings.named(str(each["loc"][0])))[0], each["msg"]) for each in error.errors()]
        fail("\n".join(f"${variable}: {message}" for variable, message in wrong), status=2)


def _password() -> str:
    # Never an argument: every user of a machine can read those.
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _print(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = make_table(*headings)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)
