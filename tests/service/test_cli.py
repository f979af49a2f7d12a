import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from reqscope.service import Settings
from tests import nursery

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMANDS = ["serve", "run", "demo", "tail", "config", "query"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `reqscope` with these arguments in an empty folder, and wait for it to end."""

    def run_command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"COLUMNS": "300", "NO_COLOR": "1", **variables}
        return nursery.run("reqscope.service", *arguments, cwd=tmp_path, env=environment)

    return run_command


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


def assert_fails(result: "subprocess.CompletedProcess[str]", status: int, *words: str) -> None:
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for each in words:
        assert each in result.stderr


class TestHelp:
    def test_without_a_command_it_says_which_there_are(self, run: Run) -> None:
        result = run()

        assert result.returncode == 2
        assert all(command in result.stdout + result.stderr for command in COMMANDS)

    def test_help_lists_every_command_and_what_it_is_for(self, run: Run) -> None:
        result = run("--help")

        assert (result.returncode, result.stderr) == (0, "")
        assert all(re.search(rf"\b{command}\s+\w+", result.stdout) for command in COMMANDS)
        assert "See the requests your API gets, live." in result.stdout

    @pytest.mark.parametrize("command", ["serve", "run", "demo"])
    def test_help_of_a_command_has_every_flag_with_its_default_and_an_example(self, run: Run, command: str) -> None:
        result = run(command, "--help")

        assert (result.returncode, result.stderr) == (0, "")
        flags = set(re.findall(r"--[a-z-]+", result.stdout))
        assert flags >= {"--host", "--api-port", "--panel-port", "--port-auto", "--log", "--log-file", "--capacity"}
        assert (flags >= {"--factory", "--app-dir", "--reload"}) == (command == "run")
        settings = Settings()
        for default in (settings.host, settings.api_port, settings.panel_port, settings.log_file, settings.capacity):
            assert f"[default: {default}]" in result.stdout
        assert f"reqscope {command}" in result.stdout

    @pytest.mark.parametrize("command", ["", *COMMANDS, "observe", "mock", "redact"])
    def test_each_example_of_a_command_stands_on_a_line_of_its_own(self, run: Run, command: str) -> None:
        help_ = run(*command.split(), "--help").stdout

        examples = re.findall(r"^ *• (.*\S)", help_[help_.index("Example") :], re.MULTILINE)
        assert examples
        assert all(f"reqscope {command}".strip() in example for example in examples)

    def test_it_says_its_version(self, run: Run) -> None:
        assert run("--version").stdout == version("reqscope") + "\n"

    def test_help_of_config_says_what_it_prints(self, run: Run) -> None:
        result = run("config", "--help")

        assert result.returncode == 0
        assert "where the value came from" in result.stdout

    @pytest.mark.parametrize("arguments", [["sreve"], ["serve", "--colour"], ["run"]], ids=" ".join)
    def test_what_is_not_understood_is_an_error_of_use(self, run: Run, arguments: list[str]) -> None:
        assert_fails(run(*arguments), 2, "Usage:")


class TestConfig:
    @pytest.mark.guarantees("F41")
    def test_it_prints_no_credentials(self, run: Run) -> None:
        shown = run("config", REQSCOPE_COLLECTOR="redis://user:of-the-test@host:6379/0").stdout

        assert "of-the-test" not in shown
        assert "redis://[redacted]@" in shown

    def test_it_prints_every_setting_with_its_value_and_its_source(self, run: Run) -> None:
        result = run("config", API_PORT="9001", REQSCOPE_PANEL_PORT="9002", GRADIO_PORT="9003", REQSCOPE_LOG="none")

        assert (result.returncode, result.stderr) == (0, "")
        lines = map(str.strip, result.stdout.splitlines())
        rows = {cells[0]: cells for line in lines if len(cells := re.split(r"\s{2,}", line)) == 4}
        assert rows.pop("Setting") == ["Setting", "Value", "From", "What it does"]
        assert rows["api_port"][1:3] == ["9001", "API_PORT"]
        assert rows["panel_port"][1:3] == ["9002", "REQSCOPE_PANEL_PORT"]
        assert rows["log"][1:3] == ["none", "REQSCOPE_LOG"]
        assert rows["host"][1:3] == ["127.0.0.1", "default"]
        assert all(re.search(rf"^{name}\b", result.stdout, re.MULTILINE) for name in Settings.model_fields)
        assert all(
            str(field.description) in result.stdout for name, field in Settings.model_fields.items() if name in rows
        )

    def test_a_list_that_is_empty_is_shown_as_none(self, run: Run) -> None:
        assert re.search(
            r"^redact\s+\(none\)\s+REQSCOPE_REDACT\s", run("config", REQSCOPE_REDACT="").stdout, re.MULTILINE
        )

    def test_a_variable_that_is_misspelt_is_said_and_what_else_is_there_is_not(self, run: Run) -> None:
        elsewhere = {f"REQSCOPE_{name}": "x" for name in ("URL", "TOKEN", "RUN", "COMPILE", "SERVICE_HOST")}
        result = run("config", REQSCOPE_BODYS="all", **elsewhere)

        assert result.returncode == 0
        assert result.stderr.splitlines() == ["warning: $REQSCOPE_BODYS sets nothing: is REQSCOPE_BODIES meant?"]


class TestBadValues:
    @pytest.mark.guarantees("F41")
    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--api-port", "99999"], ["--api-port", "less than or equal to 65535", "99999"]),
            (["--api-port", "http"], ["--api-port", "valid integer"]),
            (["--log", "syslog"], ["--log", "'stdout', 'file', 'both' or 'none'", "syslog"]),
            (["--capacity", "0"], ["--capacity", "greater than or equal to 1"]),
            (["--capacity", "0", "--panel-port", "-1"], ["--capacity", "--panel-port"]),
        ],
        ids=lambda value: " ".join(value[:2]),
    )
    def test_a_flag_with_a_value_that_means_nothing_is_named(
        self, run: Run, flags: list[str], words: list[str]
    ) -> None:
        assert_fails(run("serve", *flags), 2, *words)

    @pytest.mark.guarantees("F41")
    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("REQSCOPE_API_PORT", "http"),
            ("GRADIO_PORT", "http"),
            ("REQSCOPE_LOG", "syslog"),
            ("REQSCOPE_LOG_ROTATE_SIZE", "plenty"),
        ],
    )
    def test_a_variable_with_a_value_that_means_nothing_is_named(self, run: Run, variable: str, value: str) -> None:
        result = run("config", **{variable: value})

        assert_fails(result, 2, value)
        assert re.search(rf"\b{variable}\b", result.stderr)
        assert "value error" not in result.stderr.lower()


class TestRefusals:
    @pytest.mark.guarantees("F41")
    @pytest.mark.parametrize(
        "arguments",
        [
            *(["serve", "--host", host] for host in ("0.0.0.0", "::", "example.org")),
            *([*command, "--host", "0.0.0.0"] for command in (["run", "x:app"], ["demo"])),
        ],
        ids=" ".join,
    )
    def test_listening_where_others_can_reach_it_is_refused_with_the_ways_out(
        self, run: Run, arguments: list[str]
    ) -> None:
        result = run(*arguments)

        assert_fails(result, 1, f"refusing to listen on {arguments[-1]}", "--host 127.0.0.1", "--insecure")

    def test_the_environment_cannot_get_round_that(self, run: Run) -> None:
        assert_fails(run("serve", REQSCOPE_HOST="0.0.0.0"), 1, "refusing to listen on 0.0.0.0", "--insecure")

    @pytest.mark.parametrize("flag", ["--api-port", "--panel-port"])
    def test_a_port_in_use_is_an_error_that_names_its_flag(self, run: Run, taken: str, flag: str) -> None:
        other = {"--api-port": "--panel-port", "--panel-port": "--api-port"}[flag]

        assert_fails(run("serve", flag, taken, other, "0"), 1, f"port {taken} is in use", flag, "--port-auto")

    @pytest.mark.guarantees("F41")
    def test_a_log_file_that_cannot_be_written_is_an_error_that_names_its_flag(self, run: Run, tmp_path: Path) -> None:
        result = run("serve", "--api-port", "0", "--panel-port", "0", "--log", "file", "--log-file", str(tmp_path))

        assert_fails(result, 1, "cannot write to the log file", "Is a directory", "--log-file")

    def test_history_without_a_log_file_is_an_error_that_says_so(self, run: Run) -> None:
        result = run("serve", "--api-port", "0", "--panel-port", "0", "--log", "stdout", REQSCOPE_HISTORY="true")

        assert_fails(result, 1, "log lines go to stdout", "--log file")

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("nowhere:app", "no module nowhere"),
            ("nowhere.main:app", "no module nowhere"),
            ("shop:nothing", "no nothing in shop"),
            ("shop", "shop is not MODULE:APP"),
            ("shop.py", "shop.py is not MODULE:APP"),
            ("shop:app", "shop:app is no ASGI application, but NoneType"),
            ("shop:make", "--factory"),
        ],
    )
    def test_an_application_that_is_not_there_is_an_error_that_says_so(
        self, run: Run, tmp_path: Path, target: str, words: str
    ) -> None:
        (tmp_path / "shop.py").write_text("app = None\ndef make(): return app")

        assert_fails(run("run", target, "--api-port", "0", "--panel-port", "0"), 1, words)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["shop:app"], "error: shop cannot be imported: KeyError: 'SHOP'"),
            (["lazy:make", "--factory"], "error: lazy:make() failed: KeyError: 'SHOP'"),
        ],
        ids=["import", "factory"],
    )
    def test_an_application_that_fails_is_told_with_its_own_lines_and_none_of_ours(
        self, run: Run, tmp_path: Path, arguments: list[str], words: str
    ) -> None:
        (tmp_path / "shop.py").write_text("import os\nopen_at = os.environ['SHOP']")
        (tmp_path / "lazy.py").write_text("def make():\n    import shop")

        result = run("run", *arguments, "--api-port", "0", "--panel-port", "0")

        assert (result.returncode, result.stdout) == (1, "")
        own = [arguments[0].partition(":")[0] + ".py", *(["shop.py"] if "lazy:make" in arguments else [])]
        frames = [Path(name).name for name in re.findall('File "(.*)"', result.stderr)]
        assert [name for name in frames if name != "<frozen os>"] == own
        assert result.stderr.endswith(words + "\n")

    def test_a_host_that_is_no_name_is_an_error_that_says_so(self, run: Run) -> None:
        assert_fails(run("serve", "--host", "a..b", "--insecure"), 1, "a..b")
