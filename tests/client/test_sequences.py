from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat.client.sequences import PASTE_BEGINS, PASTE_ENDS, Sequences, pasted_text

KEYS = [
    *("a", "é", "你", "\r", "\x7f", "\x1bb", "\x1b\x7f"),
    *("\x1b[A", "\x1b[5~", "\x1b[1;5C", "\x1b[25~", "\x1bOP", "\x1b\x1b[A", "\x1b[[A"),
    *("\x1b[M !!", "\x1b[<0;10;20M", "\x1b[<0;10;20m", "\x1b[32;10;20M", "\x1b[I"),
    *("\x1b]11;rgb:0/0/0\x07", "\x1bP1$r0m\x1b\\"),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_recognised_whole_though_nobody_knows_it(key: str) -> None:
    assert Sequences().feed(f"x{key}y") == ["x", key, "y"]


@given(st.lists(st.sampled_from(KEYS)), st.randoms(use_true_random=False))
def test_it_does_not_matter_how_it_comes_in_pieces(keys: list[str], chance: object) -> None:
    sequences, found, data = Sequences(), list[str](), "".join(keys)
    while data:
        size = chance.randint(1, 4)  # type: ignore[attr-defined]
        found += sequences.feed(data[:size])
        data = data[size:]
    assert found + sequences.flush() == keys


def test_an_escape_alone_is_a_key_when_nothing_follows() -> None:
    sequences = Sequences()
    assert sequences.feed("\x1b") == []
    assert sequences.has_begun
    assert sequences.flush() == ["\x1b"]
    assert not sequences.has_begun
    assert sequences.feed("x") == ["x"]


def test_what_is_pasted_is_one_text_whatever_it_holds() -> None:
    sequences = Sequences()
    assert sequences.feed(f"a{PASTE_BEGINS}one\r\x1b[A") == ["a"]
    assert sequences.feed("two\x1b[20") == []
    *_, pasted, last = sequences.feed(f"x{PASTE_ENDS}b")
    assert pasted_text(pasted) == "one\r\x1b[Atwo\x1b[20x"
    assert (last, pasted_text(last)) == ("b", None)
