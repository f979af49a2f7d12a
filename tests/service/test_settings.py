from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reqscope.service import Redaction, Settings
from reqscope.service.redaction import SENSITIVE

EXAMPLES: dict[str, tuple[str, object]] = {
    "collector": ("unix:/tmp/reqscope.sock", "unix:/tmp/reqscope.sock"),
    "worker": ("web-1", "web-1"),
    "host": ("192.0.2.7", "192.0.2.7"),
    "api_port": ("9001", 9001),
    "panel_port": ("9002", 9002),
    "port_auto": ("true", True),
    "trusted_proxies": ("10.0.0.0/8,::1", "10.0.0.0/8,::1"),
    "insecure": ("1", True),
    "sign_in": ("on", "on"),
    "users_file": ("who/users.json", Path("who/users.json")),
    "tokens_file": ("who/tokens.json", Path("who/tokens.json")),
    "allowed_hosts": ("monitor.example, 192.0.2.7:80 ,", ("monitor.example", "192.0.2.7:80")),
    "allowed_origins": ("https://shop.example", ("https://shop.example",)),
    "max_headers": ("7", 7),
    "max_header_bytes": ("2048", 2048),
    "header_timeout": ("2.5", 2.5),
    "body_timeout": ("2.5", 2.5),
    "send_timeout": ("2.5", 2.5),
    "max_connections": ("17", 17),
    "log": ("both", "both"),
    "log_file": ("logs/x.jsonl", Path("logs/x.jsonl")),
    "log_when_full": ("block", "block"),
    "log_rotate_size": ("2MiB", 2 << 20),
    "log_rotate_every": ("12h", 43_200),
    "log_keep_files": ("3", 3),
    "log_keep_days": ("0.5", 0.5),
    "log_min_free": ("1GB", 10**9),
    "log_compress": ("zstd", "zstd"),
    "log_fsync": ("always", "always"),
    "log_format": ("pretty", "pretty"),
    "log_schema": ("ecs", "ecs"),
    "log_processors": ("shop.logs:add, shop.logs:drop ,", ("shop.logs:add", "shop.logs:drop")),
    "access_log": ("true", True),
    "history": ("true", True),
    "capacity": ("17", 17),
    "max_bytes": ("4096", 4096),
    "max_age": ("1.5", 1.5),
    "bodies": ("errors", "errors"),
    "body_cap": ("512", 512),
    "sample": ("0.25", 0.25),
    "sample_routes": ("/health=0, /items/{id}=0.1 ,", {"/health": 0, "/items/{id}": 0.1}),
    "slow": ("2.5", 2.5),
    "correlate": ("false", False),
    "capture_logs": ("0", False),
    "echo_request_id": ("yes", True),
    "stubs": ("stubs/a.yaml", Path("stubs/a.yaml")),
    "capture_panel": ("true", True),
    "replay": ("GET, /items/* ,POST /orders", ("GET", "/items/*", "POST /orders")),
    "runs_file": ("runs/x.sqlite3", Path("runs/x.sqlite3")),
    "detect_runs": ("no", False),
    "run_quiet": ("2.5", 2.5),
    "redact": ("x-tenant, Authorization ,", ("x-tenant", "Authorization")),
}
"""For each setting a text that is not its default, and the value that this means."""


def test_there_is_an_example_of_every_setting_and_a_description_with_it() -> None:
    assert set(EXAMPLES) == set(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


def test_the_defaults_are_for_one_machine_with_the_documented_ports() -> None:
    settings = Settings()

    assert (settings.host, settings.api_port, settings.panel_port) == ("127.0.0.1", 8000, 7860)
    assert (settings.log, settings.insecure, settings.port_auto) == ("stdout", False, False)
    assert settings.redact == SENSITIVE
    assert settings.model_fields_set == set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_variable_that_is_said_to_set_a_setting_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = EXAMPLES[name]
    for variable in Settings.variables(name):
        with monkeypatch.context() as patch:
            patch.setenv(variable, text)
            settings = Settings()
        assert getattr(settings, name) == value
        assert settings.model_fields_set == {name}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_argument_wins_over_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, value = EXAMPLES[name]
    for variable in Settings.variables(name):
        monkeypatch.setenv(variable, str(not value) if isinstance(value, bool) else "1")
    given: dict[str, Any] = {name: value}

    # `log` cannot be "1", so the variable would be an error if it were read.
    assert getattr(Settings(**given), name) == value


@pytest.mark.parametrize(
    ("plain", "own", "name"),
    [("API_PORT", "REQSCOPE_API_PORT", "api_port"), ("GRADIO_PORT", "REQSCOPE_PANEL_PORT", "panel_port")],
)
def test_the_plain_name_of_a_port_is_honoured_and_reqscopes_own_wins_over_it(
    plain: str, own: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plain, "9001")
    assert getattr(Settings(), name) == 9001

    monkeypatch.setenv(own, "9002")
    assert getattr(Settings(), name) == 9002
    assert Settings.variables(name) == (own, plain)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("30s", 30), ("5m", 300), ("1h", 3_600), ("1 d", 86_400), ("2W", 1_209_600)],
)
def test_a_span_of_time_is_written_with_its_unit(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQSCOPE_LOG_ROTATE_EVERY", text)

    assert Settings().log_rotate_every == seconds


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_list_of_names_to_mask_masks_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQSCOPE_REDACT", text)

    assert Settings().redact == ()
    assert Redaction(Settings().redact).query(b"password=shown") == b"password=shown"


@pytest.mark.guarantees("F41")
@pytest.mark.parametrize(
    ("name", "variable", "text"),
    [
        ("api_port", "API_PORT", "http"),
        ("api_port", "REQSCOPE_API_PORT", "-1"),
        ("panel_port", "GRADIO_PORT", "65536"),
        ("port_auto", "REQSCOPE_PORT_AUTO", "perhaps"),
        ("log", "REQSCOPE_LOG", "syslog"),
        ("sign_in", "REQSCOPE_SIGN_IN", "perhaps"),
        ("log_when_full", "REQSCOPE_LOG_WHEN_FULL", "panic"),
        ("log_rotate_size", "REQSCOPE_LOG_ROTATE_SIZE", "big"),
        ("log_rotate_size", "REQSCOPE_LOG_ROTATE_SIZE", "-1"),
        ("log_rotate_every", "REQSCOPE_LOG_ROTATE_EVERY", "daily"),
        ("log_rotate_every", "REQSCOPE_LOG_ROTATE_EVERY", "1.5h"),
        ("log_keep_files", "REQSCOPE_LOG_KEEP_FILES", "-1"),
        ("log_keep_days", "REQSCOPE_LOG_KEEP_DAYS", "nan"),
        ("log_min_free", "REQSCOPE_LOG_MIN_FREE", "10%"),
        ("log_compress", "REQSCOPE_LOG_COMPRESS", "gzip"),
        ("log_fsync", "REQSCOPE_LOG_FSYNC", "sometimes"),
        ("capacity", "REQSCOPE_CAPACITY", "0"),
        ("max_bytes", "REQSCOPE_MAX_BYTES", "64M"),
        ("max_age", "REQSCOPE_MAX_AGE", "0"),
        ("max_age", "REQSCOPE_MAX_AGE", "nan"),
        ("bodies", "REQSCOPE_BODIES", "some"),
        ("body_cap", "REQSCOPE_BODY_CAP", "0"),
        ("body_cap", "REQSCOPE_BODY_CAP", str((64 << 20) + 1)),
        ("sample", "REQSCOPE_SAMPLE", "1.1"),
        ("sample", "REQSCOPE_SAMPLE", "nan"),
        ("sample_routes", "REQSCOPE_SAMPLE_ROUTES", "0.5"),
        ("slow", "REQSCOPE_SLOW", "-1"),
        ("correlate", "REQSCOPE_CORRELATE", "perhaps"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(
    name: str, variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ValidationError) as caught:
        Settings()

    (error,) = caught.value.errors()
    assert error["loc"][0] in (name, *Settings.variables(name))
    assert error["input"] == text


@pytest.mark.guarantees("F41")
def test_an_unknown_argument_is_refused_by_name() -> None:
    unknown: dict[str, Any] = {"colour": "red"}

    with pytest.raises(ValidationError) as caught:
        Settings(**unknown)

    assert caught.value.errors()[0]["loc"] == ("colour",)


def test_settings_do_not_change() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.capacity = 5


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("", False),
    ],
)
def test_only_what_this_machine_alone_can_reach_is_loopback(host: str, loopback: bool) -> None:
    assert Settings(host=host).is_loopback is loopback
