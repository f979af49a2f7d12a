"""`python -m reqscope.service` is the `reqscope` command."""

from .cli import main

main()
