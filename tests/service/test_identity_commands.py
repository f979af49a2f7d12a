import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from reqscope.service.cli import app
from reqscope.service.identity import Tokens, Users
from tests import nursery

PASSWORD = "correct horse battery"


class Ended(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"COLUMNS": "200", "NO_COLOR": "1", "XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def run(variables: dict[str, str]) -> Run:
    """Run `reqscope` with these arguments and this typed in."""

    def run_command(*arguments: str, typed: str = "", **more: str) -> Ended:
        result = CliRunner().invoke(app, arguments, input=typed, env=variables | more)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run_command


def run_process(variables: dict[str, str], *arguments: str, typed: str = "") -> Ended:
    """Run `reqscope` as a process of its own, as a server needs."""
    result = nursery.run("reqscope.service", *arguments, typed=typed, env=variables)
    return Ended(result.returncode, result.stdout, result.stderr)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "reqscope" / "users.json")


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "reqscope" / "tokens.json")


def assert_fails(result: Ended, status: int, *words: str) -> None:
    assert (result.returncode, result.stdout) == (status, "")
    assert "Traceback" not in result.stderr
    for each in words:
        assert each in result.stderr


def test_a_user_is_added_listed_and_removed(run: Run, users: Users) -> None:
    for name, flags in (("alice", ["--admin"]), ("bob", [])):
        result = run("user", "add", name, *flags, typed=PASSWORD + "\n")
        assert (result.returncode, result.stdout) == (0, "")
        assert PASSWORD not in result.stderr

    listed = run("user", "list").stdout
    assert [line.split() for line in listed.splitlines()] == [["Name", "Role"], ["alice", "admin"], ["bob", "viewer"]]
    assert users.verify("alice", PASSWORD) is not None
    assert run("user", "remove", "bob").returncode == 0
    assert [user.name for user in users.all()] == ["alice"]
    assert_fails(run("user", "remove", "bob"), 1, "there is no user bob")


@pytest.mark.parametrize(
    ("name", "typed", "words"), [("alice", "short\n", "at least 12"), ("alice", "", "at least 12"), ("", "x", "a name")]
)
def test_what_will_not_do_is_said_and_nobody_added(run: Run, users: Users, name: str, typed: str, words: str) -> None:
    assert_fails(run("user", "add", name, typed=typed), 1, words)
    assert users.all() == []


def test_a_token_is_printed_once_and_alone_so_that_a_script_can_take_it(run: Run, tokens: Tokens) -> None:
    result = run("token", "add", "ci", "--scope", "ingest", "--scope", "read")
    token = result.stdout.strip()

    found = tokens.find(token.encode())
    assert found is not None
    assert found.scopes == ("ingest", "read")
    assert token not in result.stderr
    listed = run("token", "list")
    assert token not in listed.stdout
    assert ["ci", "ingest,", "read", found.created] in [line.split() for line in listed.stdout.splitlines()]
    assert run("token", "remove", "ci").returncode == 0
    assert_fails(run("token", "remove", "ci"), 1, "there is no token ci")
    assert "There are no tokens" in run("token", "list").stderr


def test_a_scope_that_nobody_knows_is_an_error_that_lists_them(run: Run) -> None:
    assert_fails(run("token", "add", "ci", "--scope", "all"), 2, "--scope is one of ingest, read, admin, not all")
    assert_fails(run("token", "add", "ci"), 2, "--scope")


@pytest.mark.guarantees("F41")
def test_a_file_that_others_can_read_is_an_error_that_says_what_to_do(
    run: Run, variables: dict[str, str], tmp_path: Path
) -> None:
    run("user", "add", "alice", typed=PASSWORD + "\n")
    path = tmp_path / "reqscope" / "users.json"
    path.chmod(0o644)

    for arguments in (["user", "list"], ["user", "add", "bob"]):
        assert_fails(run(*arguments, typed=PASSWORD + "\n"), 1, f"chmod 600 {path}")
    serve = run_process(variables, "serve", "--api-port", "0", "--panel-port", "0")
    assert_fails(serve, 1, f"chmod 600 {path}")


@pytest.mark.guarantees("F41")
def test_a_setting_that_means_nothing_is_named(run: Run) -> None:
    assert_fails(run("user", "list", REQSCOPE_CAPACITY="many"), 2, "$REQSCOPE_CAPACITY", "valid integer")


def test_names_that_a_terminal_would_read_are_shown_as_text(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "reqscope" / "users.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"[red]alice[/red]": {"role": "viewer", "password": "x"}}))
    path.chmod(0o600)

    assert "[red]alice[/red]" in run("user", "list").stdout


@pytest.mark.guarantees("F41")
def test_config_shows_where_the_files_are_and_nothing_that_is_in_them(run: Run, tmp_path: Path) -> None:
    run("user", "add", "alice", typed=PASSWORD + "\n")
    token = run("token", "add", "ci", "--scope", "read").stdout.strip()

    shown = run("config").stdout

    assert str(tmp_path / "reqscope" / "users.json") in shown
    assert str(tmp_path / "reqscope" / "tokens.json") in shown
    assert "argon2" not in shown
    assert token not in shown


def test_a_server_that_others_can_reach_starts_with_what_the_refusal_names(run: Run, variables: dict[str, str]) -> None:
    # What ends it in the end is a log file that cannot be: the refusal comes before that.
    serve = ["serve", "--host", "0.0.0.0", "--api-port", "0", "--panel-port", "0", "--log", "file", "--log-file", "."]
    words = ["refusing to listen on 0.0.0.0", "reqscope user add NAME", "--scope ingest", "--sign-in on"]
    assert_fails(run_process(variables, *serve), 1, *words)
    run("user", "add", "alice", typed=PASSWORD + "\n")
    run("token", "add", "ci", "--scope", "ingest")

    assert_fails(run_process(variables, *serve), 1, "cannot write to the log file")


@pytest.mark.parametrize("command", [["user"], ["user", "add"], ["token"], ["token", "add"]], ids=" ".join)
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")

    assert result.returncode == 0
    assert len(command) == 1 or f"reqscope {' '.join(command)} " in result.stdout
