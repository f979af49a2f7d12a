"""Measurements of every path an event takes, each beside the bare part it is built on and what others do instead."""
