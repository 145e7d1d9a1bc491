"""Bytes as a source of decisions: so a fuzzer that mutates bytes mutates a story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Reader:
    """Takes decisions from bytes, in order; when they have run out, the first choice each time."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether any bytes are left."""
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        """A number from 0, below ``count``, which is at most 256."""
        taken = self.take(1)
        return taken[0] % count if taken else 0

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def take(self, size: int) -> bytes:
        """The next bytes, as many as there are."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def some(self) -> bytes:
        """A few bytes: up to 255, as the next one says."""
        return self.take(self.below(256))

    def text(self) -> str:
        """Up to 255 bytes as text that can be encoded."""
        return self.some().decode(errors="replace")

    def rest(self) -> bytes:
        return self.take(len(self._data))
