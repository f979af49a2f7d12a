"""Many processes, one panel: what one captures is packed, carried to another, and published there."""
