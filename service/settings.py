"""What can be set, from flags over the environment over defaults."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .redaction import SENSITIVE

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
    redact: Annotated[tuple[str, ...], NoDecode] = Field(
        default=SENSITIVE,
        description="Headers and query parameters whose values are masked, comma-separated. Empty masks none.",
    )

    @field_validator("redact", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

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
