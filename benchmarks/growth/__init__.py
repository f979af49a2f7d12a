"""How each cost grows with what it may depend on: `python -m benchmarks growth [FOLDER]`."""
