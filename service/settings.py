"""What can be set, from flags over the environment over defaults."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .capture import Bodies
from .redaction import SENSITIVE

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
LogTarget: TypeAlias = Literal["stdout", "file", "both", "none"]


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
    insecure: bool = Field(
        default=False, description="Listen where others can reach it, although the panel asks nobody who they are."
    )
    log: LogTarget = Field(default="stdout", description="Where JSON log lines go: stdout, file, both or none.")
    log_file: Path = Field(default=Path("reqscope.jsonl"), description="The file that log lines are appended to.")
    log_when_full: Literal["drop", "block"] = Field(
        default="drop",
        description="When the log cannot keep up: drop the newest events, or block until the ring evicts.",
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
    redact: Annotated[tuple[str, ...], NoDecode] = Field(
        default=SENSITIVE,
        description="Names whose values are masked wherever they stand, comma-separated. Empty masks nothing at all.",
    )

    @field_validator("redact", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

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
