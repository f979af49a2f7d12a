"""`python -m tests.docs`: every block of the documentation, and what is done with it."""

from .blocks import BLOCKS
from .inventory import account

for block in BLOCKS:
    print(f"{block!s:26} {block.kind:26} {account(block)}")
