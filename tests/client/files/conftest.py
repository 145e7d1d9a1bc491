"""Fixtures for the tests of files."""

from .samples import any_leaves, fast_clock, no_threads, sample

__all__ = ["any_leaves", "fast_clock", "no_threads", "sample"]
