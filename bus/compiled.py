"""Whether what runs for every request runs compiled, as setup.py can have it, or interpreted."""

from typing import Final

from . import ring

COMPILED: Final = not str(ring.__file__).endswith(".py")
