"""Compiles what runs for every request, where there are a C compiler and Python's headers.

The same sources, by mypyc, which finds nothing else about the package here: that is in pyproject.toml. Where they
cannot be compiled they are installed as they are. `REQSCOPE_COMPILE=0` asks for that, and `REQSCOPE_COMPILE=1` fails
instead.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# No module with a msgspec struct: compiled, it loses what its class says of it, such as `frozen` or `omit_defaults`.
HOT = (
    "bus/eventbus.py",
    "bus/inflight.py",
    "bus/ring.py",
    "service/beginning.py",
    "service/correlation.py",
    "service/exchange.py",
    "service/heads.py",
    "service/hosts.py",
    "service/ongoing.py",
    "service/origins.py",
    "service/plan.py",
    "service/posted.py",
    "service/request_head.py",
    "service/routes.py",
    "service/websocket.py",
)
TREE = Path("build/compiled")
WANTED = os.environ.get("REQSCOPE_COMPILE", "auto")
BUILDING = not {"build_ext", "bdist_wheel", "editable_wheel"}.isdisjoint(sys.argv)
"""The backend also asks what the metadata is."""


def compiles() -> bool:
    """Whether this machine looks as if it could."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return bool(compiler) and shutil.which(compiler[0]) is not None and headers.exists()


def extensions() -> list[Extension]:
    """Return what is to be compiled: the modules by mypyc, in C."""
    if not BUILDING or WANTED == "0" or (WANTED == "auto" and not compiles()):
        return []
    # mypyc names modules by their place in a tree, and here that is not the package's.
    shutil.rmtree(TREE, ignore_errors=True)
    for part in ("bus", "service"):
        shutil.copytree(part, TREE / "reqscope" / part, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    os.environ["MYPYPATH"] = str(TREE)
    options = ["--config-file=", "--explicit-package-bases", "--namespace-packages", "--follow-imports=silent"]
    # Other packages are not there where a wheel is built. To know their types makes nothing faster, and takes long.
    options += ["--no-site-packages", "--ignore-missing-imports"]
    try:
        from mypyc.build import mypycify

        return mypycify([*options, *(str(TREE / "reqscope" / path) for path in HOT)], opt_level="3", debug_level="0")
    except (ImportError, SystemExit):  # which is how mypyc says what it does not take
        if WANTED == "1":
            raise
        print("reqscope: the request path stays interpreted, as mypyc could not translate it", file=sys.stderr)
        return []


class Build(build_ext):
    """Leaves modules interpreted where the compiler fails after all."""

    def run(self) -> None:
        try:
            super().run()
        except (CompileError, LinkError) as error:
            if WANTED == "1":
                raise
            print(f"reqscope: the request path stays interpreted: {error}", file=sys.stderr)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
