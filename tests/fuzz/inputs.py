"""Inputs that hypothesis makes up for a target."""

from hypothesis import strategies as st

from .targets import Target


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return bytes put together from what such things are made of, and anything."""
    piece = st.one_of(st.sampled_from([*target.words, *target.seeds]), st.binary(max_size=8))
    return st.lists(piece, max_size=12).map(b"".join)
