import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bus", "service", "ui")


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(node: ast.AST, folder: str) -> list[str]:
    """Return the full names of the modules that this one statement imports."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(level=0, module=str(module)):
            # `from reqscope import ui` imports reqscope.ui.
            return [f"{module}.{alias.name}" for alias in node.names] if module == "reqscope" else [module]
        case ast.ImportFrom(level=1, module=module):
            return [f"reqscope.{folder}.{module or ''}"]
        case ast.ImportFrom(level=level, module=module):
            raise AssertionError(f"relative import {'.' * level}{module} leaves its folder")
        case _:
            return []


def imports(path: Path, folder: str) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node, folder)}


def imports_at_load(path: Path, folder: str) -> set[str]:
    """Return what a module imports when it is itself imported: all but what stands inside its functions."""

    def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for child in ast.iter_child_nodes(node):
                yield from outside_functions(child)

    return {name for node in outside_functions(ast.parse(path.read_text())) for name in imported(node, folder)}


def belongs_to(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def uses_the_panel(names: set[str]) -> bool:
    return any(belongs_to(name, "reqscope.ui") for name in names)


def offenders(folder: str, *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(folder)
        for name in sorted(imports(path, folder))
        if any(belongs_to(name, package) for package in forbidden)
    ]


def test_importing_the_bus_loads_no_web_framework_and_none_of_its_users(tmp_path: Path) -> None:
    code = "import sys; before = set(sys.modules); import reqscope.bus; print(*(set(sys.modules) - before))"

    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()

    assert "reqscope.bus.ring" in loaded
    forbidden = ("fastapi", "starlette", "uvicorn", "pydantic", "gradio", "reqscope.service", "reqscope.ui")
    assert not [name for name in loaded if any(belongs_to(name, package) for package in forbidden)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_sources_to_look_at(folder: str) -> None:
    assert sources(folder)


def test_the_bus_imports_neither_the_service_nor_the_panel() -> None:
    assert offenders("bus", "reqscope.service", "reqscope.ui") == []


def test_the_bus_needs_nothing_but_anyio_msgspec_and_structlog() -> None:
    allowed = {*sys.stdlib_module_names, "anyio", "msgspec", "structlog", "reqscope"}

    needed = {name.partition(".")[0] for path in sources("bus") for name in imports(path, "bus")}

    assert needed - allowed == {"zstandard"}
    at_load = {name.partition(".")[0] for path in sources("bus") for name in imports_at_load(path, "bus")}
    assert at_load <= allowed, "what is an extra is imported when it is asked for"


def test_the_panel_does_not_import_the_service() -> None:
    assert offenders("ui", "reqscope.service") == []


def test_the_service_imports_the_panel_in_one_place_and_only_when_it_builds_it() -> None:
    using = [path.name for path in sources("service") if uses_the_panel(imports(path, "service"))]
    using_at_load = [path.name for path in sources("service") if uses_the_panel(imports_at_load(path, "service"))]

    assert len(using) == 1
    assert using_at_load == []


def test_no_module_is_reached_by_the_name_of_its_folder() -> None:
    """Only `reqscope.bus` is installed; a bare `bus` would be somebody else's."""
    assert [offender for folder in FOLDERS for offender in offenders(folder, *FOLDERS)] == []
