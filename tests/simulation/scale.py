"""Small limits, so that a short run meets every bound that a busy server would.

What the program does at a bound does not depend on how large it is, and the relations between
bounds that it relies on are kept.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from trio_chat import limits
from trio_chat.client import link, session
from trio_chat.client.files import transfers

SMALL = {
    "MAILBOX_MESSAGES_MAX": (12, 40, 10_000),
    "REQUESTS_BATCH_MAX": (1, 2, 3, 256),
    "REQUESTS_ROUND_MAX": (2, 8, 1024),
    "COMMANDS_QUEUE_MAX": (1, 3, 1024),
    "UNSAFE_MESSAGES_MAX": (10, 100_000, 100_000),
    "REQUESTS_UNANSWERED_MAX": (3, 10, 256),
    "PRIVATE_UNANSWERED_MAX": (2, 256),
    "CLEANUP_DELAY_SECONDS": (0.05, 1.0, 10.0),
    "RECEIVE_BYTES_MAX": (100, 2000, 64 * 1024),
}
"""What each bound may be in a run."""

SIZES: tuple[dict[str, int], ...] = (
    {"OUTBOX_BYTES_MAX": 3500, "WINDOW_MESSAGES_MAX": 3, "WINDOW_TEXT_BYTES_MAX": 1000},
    {"OUTBOX_BYTES_MAX": 20_000, "WINDOW_MESSAGES_MAX": 2, "WINDOW_TEXT_BYTES_MAX": 1000},
    {"OUTBOX_BYTES_MAX": 20_000, "WINDOW_MESSAGES_MAX": 20, "WINDOW_TEXT_BYTES_MAX": 4000},
    {},
)
"""The same of those that depend on each other: a window must fit the outbox."""


@contextmanager
def small_limits(chance: random.Random) -> Iterator[None]:
    """Shrink limits for the length of a block."""
    chosen = {name: chance.choice(values) for name, values in SMALL.items()}
    chosen |= chance.choice(SIZES)
    with ExitStack() as undo:
        for name, value in chosen.items():
            undo.enter_context(patch.object(limits, name, value))
        for module in (session, link):
            half = limits.OUTBOX_BYTES_MAX // 2
            undo.enter_context(patch.object(module, "_UNANSWERED_BYTES_MAX", half))
        # Nobody looks at the status line, and making it anew is half of all that happens.
        undo.enter_context(patch.object(transfers, "STATUS_SECONDS", 1000.0))
        yield
