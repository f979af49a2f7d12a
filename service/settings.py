"""What can be set, from flags over the environment over defaults."""

import os
import re
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AliasChoices, ByteSize, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .plan import Bodies
from .redaction import SENSITIVE
from .replay_rules import ReplayRules


def _configuration(name: str) -> Path:
    """Return where a file of the user's own is kept (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "reqscope" / name


Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
LogTarget: TypeAlias = Literal["stdout", "file", "both", "none"]
LogFormat: TypeAlias = Literal["auto", "json", "pretty"]
LogSchema: TypeAlias = Literal["otel", "ecs"]

_SIZE: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,3})? ?(?:[kmgt]i?)?b?", re.IGNORECASE)
_SPAN: Final = re.compile(r"([0-9]{1,9}) ?([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Settings(BaseSettings):
    """Every setting. Arguments win over `REQSCOPE_<NAME>` in the environment, which wins over the default.

    :raises pydantic.ValidationError: a value is out of range, naming the setting
    """

    model_config = SettingsConfigDict(env_prefix="REQSCOPE_", frozen=True, populate_by_name=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address that both servers listen on.")
    api_port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("REQSCOPE_API_PORT", "API_PORT"),
        description="Port of the API. 0 takes any free one.",
    )
    panel_port: int = Field(
        default=7860,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("REQSCOPE_PANEL_PORT", "GRADIO_PORT"),
        description="Port of the panel. 0 takes any free one.",
    )
    port_auto: bool = Field(default=False, description="Take the next free port where one is in use.")
    trusted_proxies: str = Field(
        default="",
        description="Addresses of proxies, comma-separated, whose X-Forwarded-For and -Proto are believed. * is all.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names that the servers are called by beside this machine's own, comma-separated. * is any.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Sites whose pages may send records, comma-separated, such as https://shop.example. * is any.",
    )
    max_headers: int = Field(default=100, ge=1, description="Headers that a request may have; more are a 431.")
    max_header_bytes: int = Field(
        default=64 << 10, ge=1024, description="Bytes of a request before its body; more are a 431, or a 414."
    )
    header_timeout: float = Field(
        default=10.0, gt=0, description="Seconds in which a client must have sent its headers; then a 408."
    )
    body_timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds in which a client must have sent its body: 60, but for `run`, where there is no limit.",
    )
    send_timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds for which a client may take nothing of its answer: 30, but for `run`, where it may.",
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        description="Connections to each server; more are a 503. 1000, but for `run`, where there is no limit.",
    )
    insecure: bool = Field(
        default=False, description="Listen where others can reach it, although nobody is asked who they are."
    )
    sign_in: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Who signs in to the panel. auto: all if it is reachable or has users, else others on this host.",
    )
    users_file: Path = Field(
        default_factory=partial(_configuration, "users.json"), description="The file of `reqscope user`."
    )
    tokens_file: Path = Field(
        default_factory=partial(_configuration, "tokens.json"), description="The file of `reqscope token`."
    )
    log: LogTarget = Field(default="stdout", description="Where JSON log lines go: stdout, file, both or none.")
    log_file: Path = Field(default=Path("reqscope.jsonl"), description="The file that log lines are appended to.")
    log_when_full: Literal["drop", "block"] = Field(
        default="drop",
        description="When the log cannot keep up: drop the newest events, or block until the ring evicts.",
    )
    log_rotate_size: ByteSize = Field(
        default=ByteSize(100_000_000),
        ge=0,
        description="Begin a new log file before it is larger, as in 100MB. 0: never.",
    )
    log_rotate_every: int = Field(
        default=0, ge=0, description="Begin a new log file at the end of each span in UTC, as in 1h or 1d. 0: never."
    )
    log_keep_files: int = Field(default=10, ge=0, description="Rotated log files to keep. 0: all.")
    log_keep_days: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Days to keep rotated log files for. 0: for ever."
    )
    log_min_free: ByteSize = Field(
        default=ByteSize(0),
        ge=0,
        description="Delete the oldest rotated log files while less of the disk is free, as in 1GB.",
    )
    log_compress: Literal["off", "zstd"] = Field(
        default="off", description="Compress rotated log files: off or zstd, which needs reqscope[zstd]."
    )
    log_fsync: Literal["off", "interval", "always"] = Field(
        default="off",
        description="When log lines are safe from a loss of power: off, interval (each second), or always (at once).",
    )
    log_format: LogFormat = Field(
        default="auto",
        description="How lines look on standard output: json, pretty, or auto: pretty on a terminal. Files are JSON.",
    )
    log_schema: LogSchema = Field(
        default="otel", description="Names of the fields of JSON lines: OpenTelemetry's (otel) or Elastic's (ecs)."
    )
    log_processors: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="structlog processors that each JSON line goes through, as in shop.logs:add_version, …"
    )
    access_log: bool = Field(
        default=False,
        description="Print a line for each request on standard output, in the place of uvicorn's access log.",
    )
    history: bool = Field(
        default=False,
        description="Turn rotated log files into Parquet, and answer SQL over them: needs reqscope[history].",
    )
    capacity: int = Field(default=10_000, ge=1, description="Events that the ring keeps.")
    max_bytes: int = Field(default=64 << 20, ge=1, description="Bytes that the ring keeps.")
    max_age: float | None = Field(
        default=None, gt=0, description="Seconds that the ring keeps an event for, if there is a limit."
    )
    bodies: Bodies = Field(
        default="off", description="Bodies to keep: off, those of requests that failed (errors), or all."
    )
    body_cap: int = Field(default=16 << 10, ge=1, le=64 << 20, description="Bytes to keep of a body.")
    sample: float = Field(default=1.0, ge=0, le=1, description="Share of requests to keep. All are counted.")
    sample_routes: Annotated[dict[str, Share], NoDecode] = Field(
        default={}, description="Shares to keep of single routes, such as /health=0,/items/{id}=0.1."
    )
    slow: float = Field(
        default=1.0,
        ge=0,
        description="Seconds from which on a request is kept, as one that failed is, whatever the share.",
    )
    correlate: bool = Field(
        default=True, description="Bind request_id, trace_id and span_id to structlog's context variables."
    )
    capture_logs: bool = Field(
        default=True, description="Show the lines that the application logs during a request beside it."
    )
    echo_request_id: bool = Field(default=False, description="Answer each request with its X-Request-ID.")
    stubs: Path | None = Field(
        default=None,
        description="A file or folder of stubs that answer on the API's port, as another service would.",
    )
    capture_panel: bool = Field(default=False, description="Watch a mounted panel's own requests too.")
    replay: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="What may be replayed from the panel: methods, paths for safe methods, or both: GET,POST /orders.",
    )
    collector: str = Field(
        default="",
        description="Where processes meet: unix:/tmp/reqscope.sock, redis://host or nats://host. `serve` reads there.",
    )
    worker: str = Field(
        default="",
        max_length=100,
        description="What this host is called there, if not by its name. Process ids are added.",
    )
    redact: Annotated[tuple[str, ...], NoDecode] = Field(
        default=SENSITIVE,
        description="Names whose values are masked wherever they stand, comma-separated. Empty masks nothing at all.",
    )

    runs_file: Path = Field(
        default=Path("reqscope-runs.sqlite3"),
        description="The file that load-test runs are kept in, made by the first.",
    )
    detect_runs: bool = Field(
        default=True, description="Begin a run by itself when a load test is recognised by its headers."
    )
    run_quiet: float = Field(
        default=10.0, gt=0, description="Seconds without a request after which a run that began by itself ends."
    )

    @field_validator("log_rotate_size", "log_min_free", mode="before")
    @classmethod
    def _is_size(cls, value: object) -> object:
        if isinstance(value, str) and not _SIZE.fullmatch(value.strip()):
            raise ValueError("it is written as a number of bytes, or with a unit such as 100MB or 1GiB")
        return value

    @field_validator("log_rotate_every", mode="before")
    @classmethod
    def _in_seconds(cls, value: object) -> object:
        if not isinstance(value, str) or value.isdecimal():
            return value
        if (match := _SPAN.fullmatch(value.strip().lower())) is None:
            raise ValueError("it is written as a number with s, m, h, d or w, such as 1h or 1d")
        return int(match[1]) * _SECONDS[match[2]]

    @field_validator("redact", "replay", "log_processors", "allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("replay")
    @classmethod
    def _check_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        ReplayRules(value)
        return value

    @field_validator("sample_routes", mode="before")
    @classmethod
    def _split_routes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().rpartition("=") for part in value.split(",") if part.strip()]
        if any(not route for route, _, _ in pairs):
            raise ValueError("it is written as /route=share, such as /health=0")
        return {route.strip(): share for route, _, share in pairs}

    @classmethod
    def variables(cls, name: str) -> tuple[str, ...]:
        """Return the environment variables that set `name`, the first that is set winning."""
        alias = cls.model_fields[name].validation_alias
        if isinstance(alias, AliasChoices):
            return tuple(str(choice) for choice in alias.choices)
        return (f"REQSCOPE_{name.upper()}",)

    @classmethod
    def named(cls, variable: str) -> str:
        """Return the setting that this environment variable, or argument, sets."""
        return next((name for name in cls.model_fields if variable in cls.variables(name)), variable)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the servers."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
