"""What may be compiled."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a wheel is made of."""
    for part in ("bus", "service", "ui"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, tmp_path)
    return tmp_path


def build(tree: Path, **environment: str) -> tuple[list[str], str]:
    """Build a wheel, and return the compiled modules in it and what was said."""
    command = [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", "dist"]
    done = subprocess.run(command, cwd=tree, env=os.environ | environment, check=True, capture_output=True, text=True)
    (wheel,) = (tree / "dist").iterdir()
    return [name for name in ZipFile(wheel).namelist() if name.endswith(".so")], done.stderr


@pytest.mark.parametrize("environment", [{"CC": "no-such-compiler"}, {"REQSCOPE_COMPILE": "0"}])
def test_without_a_compiler_modules_are_installed_as_they_are(tree: Path, environment: dict[str, str]) -> None:
    compiled, said = build(tree, **environment)

    assert compiled == []
    assert "reqscope: " not in said


@pytest.mark.prove
def test_where_the_compiler_fails_modules_are_installed_as_they_are(tree: Path) -> None:
    compiled, said = build(tree, CC="false")

    assert compiled == []
    assert "the request path stays interpreted" in said


@pytest.mark.prove
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_with_a_compiler_each_hot_module_is_compiled(tree: Path) -> None:
    compiled, _ = build(tree)

    for module in hot():
        assert any(name.startswith(f"reqscope/{module.removesuffix('.py')}.") for name in compiled), module
