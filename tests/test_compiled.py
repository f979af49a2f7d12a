"""What may be compiled."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def hot() -> list[str]:
    """Return the modules that setup.py names."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "HOT":
            names: tuple[str, ...] = ast.literal_eval(statement.value)
            return [*names]
    raise AssertionError("setup.py names none")


@pytest.mark.parametrize("module", hot())
def test_no_struct_is_where_it_would_lose_what_its_class_says(module: str) -> None:
    """Compiled, a `msgspec.Struct` is no longer `frozen`, and leaves out no defaults."""
    classes = [part for part in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(part, ast.ClassDef)]

    assert [each.name for each in classes if "msgspec.Struct" in map(ast.unparse, each.bases)] == []
