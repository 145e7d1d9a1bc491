"""Measurements: each module here is a command, ``python -m benchmarks.NAME --help``."""
