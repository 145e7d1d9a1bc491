"""Fixtures for the tests of files."""

from .samples import fast_clock, no_threads, sample

__all__ = ["fast_clock", "no_threads", "sample"]
