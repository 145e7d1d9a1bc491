"""Shares of what is for all: so that no user, nor several together, can use it up.

The rule is the dynamic threshold of shared-memory switches (Choudhury and Hahne, "Dynamic queue
length thresholds for shared-memory packet switches", 1998): a user may have at most as much as is
still free. Somebody who is alone can use half of the whole; of n users who take what they can get,
each has a part of n + 1, and one such part stays free for whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.messages import Delivery


def text_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class Shares(dict[str, tuple[int, int]]):
    """How much of something each user has: by user a number of things and their bytes."""

    def add(self, user: str, size_bytes: int) -> None:
        """A user has one thing more."""
        count, total = self.get(user, (0, 0))
        self[user] = count + 1, total + size_bytes

    def remove(self, user: str, size_bytes: int) -> None:
        """A user has one thing less."""
        count, total = self[user]
        if count == 1:
            del self[user]
        else:
            self[user] = count - 1, total - size_bytes


def counted_by_sender(deliveries: Iterable[Delivery]) -> dict[str, tuple[int, int]]:
    """What each sender has among these: messages, and their bytes of text."""
    shares = Shares()
    for delivery in deliveries:
        shares.add(delivery.sender, text_bytes(delivery.text))
    return dict(shares)
