"""Fixtures for the tests of files."""

from .samples import fast_clock, sample

__all__ = ["fast_clock", "sample"]
