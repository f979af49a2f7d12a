"""Compiles what runs for every request, if `REQSCOPE_COMPILE=1` asks for it.

The same sources, by mypyc: it needs a C compiler, Python's headers and the development requirements. Everything else
about the package is in pyproject.toml.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup

# No module with a msgspec struct: compiled, it loses what its class says of it, such as `frozen` or `omit_defaults`.
HOT = (
    "bus/eventbus.py",
    "bus/inflight.py",
    "bus/ring.py",
    "service/beginning.py",
    "service/correlation.py",
    "service/exchange.py",
    "service/heads.py",
    "service/ongoing.py",
    "service/plan.py",
    "service/request_head.py",
    "service/routes.py",
    "service/websocket.py",
)
TREE = Path("build/compiled")


def compiled() -> list[Extension]:
    """Return the extension modules that were asked for."""
    building = not {"build_ext", "bdist_wheel", "editable_wheel"}.isdisjoint(sys.argv)
    if os.environ.get("REQSCOPE_COMPILE") != "1" or not building:  # the backend also asks what the metadata is
        return []
    from mypyc.build import mypycify

    # mypyc names modules by their place in a tree, and here that is not the package's.
    shutil.rmtree(TREE, ignore_errors=True)
    for part in ("bus", "service"):
        shutil.copytree(part, TREE / "reqscope" / part)
    os.environ["MYPYPATH"] = str(TREE)
    options = ["--explicit-package-bases", "--namespace-packages", "--follow-imports=silent"]
    return mypycify([*options, *(str(TREE / "reqscope" / path) for path in HOT)], opt_level="3", debug_level="0")


setup(ext_modules=compiled())
