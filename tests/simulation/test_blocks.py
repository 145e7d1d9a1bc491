from __future__ import annotations

from .blocks import Blocks, Known

NEVER = float("inf")


def test_a_block_is_certain_from_its_confirmation_until_something_else_is_typed() -> None:
    blocks = Blocks()
    assert blocks.is_free("luke", "hans", 0.0)
    blocks.typed("luke", "hans", 1.0)
    assert not blocks.is_free("luke", "hans", NEVER)
    assert not blocks.has_blocked("luke", "hans", NEVER)
    blocks.answered("luke", "hans", Known.BLOCKED, 2.0)
    assert blocks.has_blocked("luke", "hans", 3.0)
    assert not blocks.has_blocked("luke", "hans", 1.5), "that was typed before"
    assert not blocks.has_blocked("hans", "luke", 3.0)
    blocks.typed("luke", "hans", 4.0)
    blocks.answered("luke", "hans", Known.FREE, 5.0)
    assert blocks.is_free("luke", "hans", 6.0)
    assert not blocks.is_free("luke", "hans", 3.0)


def test_nothing_is_certain_while_another_command_is_on_its_way() -> None:
    blocks = Blocks()
    blocks.typed("luke", "hans", 1.0)
    blocks.typed("luke", "hans", 1.0)
    blocks.answered("luke", "hans", Known.BLOCKED, 2.0)
    assert not blocks.has_blocked("luke", "hans", NEVER)
    blocks.answered("luke", "hans", Known.FREE, 3.0)
    assert blocks.is_free("luke", "hans", NEVER)


def test_a_lost_answer_leaves_it_open() -> None:
    blocks = Blocks()
    blocks.typed("luke", "hans", 1.0)
    blocks.client_ended("luke", 2.0)
    blocks.typed("luke", "hans", 3.0)
    blocks.answered("luke", "hans", Known.UNSURE, 4.0)
    assert not blocks.is_free("luke", "hans", NEVER)
    assert not blocks.has_blocked("luke", "hans", NEVER)
