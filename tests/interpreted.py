"""Has tests look into the sources, where these are compiled: what is compiled can't be traced, nor be made to fail.

A plugin of pytest's, because another one, which Reqscope brings, imports it before any test does. Servers that the
tests start are processes of their own, and run as they do for users.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class Sources:
    """Finds the source of a module of Reqscope's, beside what was made of it."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("reqscope."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
            return spec
        place = Path(spec.origin)
        return importlib.util.spec_from_file_location(fullname, place.with_name(f"{fullname.rpartition('.')[2]}.py"))


if os.environ.get("REQSCOPE_TESTS_COMPILED") != "1":
    sys.meta_path.insert(0, Sources)
