"""The closed set of effects."""

from typing import get_args

import pytest

from trio_chat.core.effects import Close, Effect


def test_effects_are_immutable() -> None:
    assert all(kind.__struct_config__.frozen for kind in get_args(Effect))
    with pytest.raises(AttributeError):
        Close(1).session = 2  # type: ignore[misc]  # that is the point
