"""Bitmaps of pieces, beside Python's own sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat.swarm.pieces import BLOCK_BITS, PieceSet, packed_bytes

SIZES = [1, 7, 8, 9, BLOCK_BITS - 1, BLOCK_BITS, BLOCK_BITS + 1, 3 * BLOCK_BITS + 5]


@given(st.sampled_from(SIZES), st.data())
def test_it_does_what_a_set_does(size: int, data: st.DataObject) -> None:
    numbers = st.sets(st.integers(0, size - 1), max_size=20)
    one, other = data.draw(numbers), data.draw(numbers)
    mine, theirs = PieceSet(size, one), PieceSet(size, other)
    assert list(mine) == sorted(one)
    assert len(mine) == len(one)
    assert set(mine & theirs) == one & other
    assert PieceSet.from_bytes(mine.to_bytes(), size) == mine
    start = data.draw(st.integers(0, 2 * size))
    both = sorted(one & other, key=lambda piece: (piece - start) % size)
    assert mine.find(theirs, start) == (both[0] if both else None)
    copied = mine.copy()
    assert {piece for piece in one if copied.discard(piece)} == one
    assert not copied
    assert set(mine) == one


@pytest.mark.parametrize("size", SIZES)
def test_ranges(size: int) -> None:
    for first, last in ((0, size), (size // 2, size), (size // 3, size // 2), (1, 1)):
        pieces = PieceSet(size)
        pieces.add_range(range(first, last))
        assert list(pieces) == list(range(first, last))
        assert len(pieces) == last - first
        assert pieces.has_range(range(first, last))
        assert pieces.has_range(range(size)) is (last - first == size)


def test_adding_and_discarding_tell_whether_that_changed_anything() -> None:
    pieces = PieceSet(3)
    assert pieces.add(2)
    assert not pieces.add(2)
    assert 2 in pieces
    assert 1 not in pieces
    assert 3 not in pieces
    assert -1 not in pieces
    assert pieces.discard(2)
    assert not pieces.discard(2)
    assert repr(pieces) == "<PieceSet 0 of 3>"
    assert pieces != {1}


def test_the_set_of_an_empty_file_is_full_and_has_nothing_to_find() -> None:
    nothing = PieceSet(0)
    assert nothing.is_full
    assert nothing.to_bytes() == b""
    assert PieceSet.from_bytes(b"", 0) == nothing
    assert nothing.find(nothing, 0) is None


@pytest.mark.parametrize(
    ("packed", "size"), [(b"", 1), (b"\0\0", 8), (b"\0", 9), (b"\x02", 1), (b"\xff\x02", 9)]
)
def test_what_cannot_be_a_set_of_this_file_is_refused(packed: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="set"):
        PieceSet.from_bytes(packed, size)


def test_one_bit_for_each_piece_the_first_is_the_lowest() -> None:
    assert PieceSet(10, [0, 9]).to_bytes() == b"\x01\x02"
    assert [packed_bytes(size) for size in (0, 1, 8, 9)] == [0, 1, 1, 2]
