"""Writes what the documentation says of settings and of filter fields: `python docs/reference.py`."""

from pathlib import Path
from typing import Final

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from reqscope.bus.filter_fields import FIELDS
from reqscope.service import Settings

HERE: Final = Path(__file__).parent

_BEGIN: Final = "<!-- fields -->\n"
_END: Final = "<!-- end of fields -->\n"

_SETTINGS: Final = """\
# Every setting

Flags win over these variables, which win over defaults. `reqscope config` prints every setting as it is now, and where
its value came from; `reqscope run --help` and the other commands list their flags. In code: `Settings(capacity=5_000)`,
with the name in lower case and without the prefix. Lists are comma-separated. A value that makes no sense is an error
that names the setting.

| variable | default | what it does |
| --- | --- | --- |
"""


def settings_page() -> str:
    """Return the page of all settings."""
    return _SETTINGS + "".join(_setting(name, field) for name, field in Settings.model_fields.items())


def filters_page(page: str) -> str:
    """Return the page of the filter language with the table of fields as it should be."""
    before, _, rest = page.partition(_BEGIN)
    rows = "".join(f"| `{field.name}` | `{field.example}` | {_cell(field.meaning)} |\n" for field in FIELDS)
    head = "| field | for example | what it looks at |\n| --- | --- | --- |\n"
    return f"{before}{_BEGIN}{head}{rows}{_END}{rest.partition(_END)[2]}"


def _setting(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    names = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [f"REQSCOPE_{name.upper()}"]
    return f"| {', '.join(f'`{each}`' for each in names)} | {_default(field)} | {_cell(field.description or '')} |\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None | "" | () | []:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case frozenset() | set() | tuple() | list():
            return "a list of names" if len(value) > 8 else f"`{','.join(map(str, value))}`"
        case Path():
            return f"`{_home(value)}`"
        case _:
            return f"`{value}`" if str(value) else ""


def _home(path: Path) -> str:
    return f"~/.config/reqscope/{path.name}" if path.is_absolute() else str(path)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    (HERE / "configuration.md").write_text(settings_page(), "utf-8")
    filters = HERE / "filters.md"
    filters.write_text(filters_page(filters.read_text("utf-8")), "utf-8")
