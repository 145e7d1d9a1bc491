"""The rarest first, and chance between equals."""

from trio_chat.swarm.picker import LEVELS, Picker, mix
from trio_chat.swarm.pieces import PieceSet


def picker_of(size: int, salt: int = 0) -> Picker:
    picker = Picker(size, salt)
    for piece in range(size):
        picker.open(piece)
    return picker


def drain(picker: Picker, have: PieceSet) -> list[int]:
    picked = []
    while (piece := picker.pick(have)) is not None:
        picker.close(piece)
        picked.append(piece)
    return picked


def test_the_rarest_come_first_however_holders_come_and_go() -> None:
    picker = picker_of(4)
    picker.add_holder_of([0, 1, 2])
    picker.add_holder_of([0, 1])
    picker.add_holder(0)
    assert [picker.holders(piece) for piece in range(4)] == [3, 2, 1, 0]
    picker.remove_holder_of([0, 1])
    picker.remove_holder(0)
    picker.add_holder(3)
    picker.add_holder(3)
    assert [picker.holders(piece) for piece in range(4)] == [1, 1, 1, 2]
    picked = drain(picker, PieceSet.full(4))
    assert sorted(picked[:3]) == [0, 1, 2]
    assert picked[3] == 3
    assert picker.open_count == 0


def test_only_what_a_peer_holds_and_what_is_open() -> None:
    picker = picker_of(10)
    picker.close(3)
    picker.close(3)
    picker.open(4)
    assert sorted(drain(picker, PieceSet(10, [3, 4, 7]))) == [4, 7]
    assert not picker.is_open(4)
    picker.open(4)
    assert picker.is_open(4)
    assert picker.pick(PieceSet(10, [4])) == 4


def test_salts_give_different_orders_and_the_same_one_the_same() -> None:
    everything = PieceSet.full(100)
    orders = [tuple(drain(picker_of(100, salt), everything)) for salt in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(100))


def test_beyond_some_number_of_holders_all_are_equally_common() -> None:
    picker = picker_of(2)
    for _ in range(LEVELS + 5):
        picker.add_holder_of([0, 1])
    picker.add_holder_of([0])
    assert sorted(drain(picker, PieceSet.full(2))) == [0, 1]
    picker.open(0)
    picker.open(1)
    for _ in range(LEVELS + 5):
        picker.remove_holder(0)
    assert drain(picker, PieceSet.full(2)) == [0, 1]


def test_mixing_depends_on_both_numbers_and_stays_within_64_bits() -> None:
    mixed = {mix(salt, number) for salt in range(-5, 30) for number in range(-5, 30)}
    assert len(mixed) == 35 * 35
    assert all(0 <= number < 2**64 for number in mixed)
