"""Drawing lots."""

from __future__ import annotations

import random
from typing import TypeVar

T = TypeVar("T")


def spread(chance: random.Random, *weighted: tuple[float, T]) -> T:
    """One of some things, by weight."""
    weights = [weight for weight, _ in weighted]
    return chance.choices([thing for _, thing in weighted], weights)[0]
