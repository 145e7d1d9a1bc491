"""The hash function stands for known results, so that no release changes it unseen."""

from trio_chat.swarm.hashing import HASH_BYTES, hash_leaf, hash_root

EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_a_leaf_is_the_blake3_of_its_piece() -> None:
    assert hash_leaf(b"").hex() == EMPTY
    assert hash_leaf(bytearray(b"abc")) == hash_leaf(memoryview(b"abc")) == hash_leaf(b"abc")


def test_the_root_depends_on_all_that_it_is_over() -> None:
    leaf = hash_leaf(b"a")
    roots = {
        hash_root(1, 1, 16384, leaf),
        hash_root(2, 1, 16384, leaf),
        hash_root(1, 2, 16384, leaf),
        hash_root(1, 1, 32768, leaf),
        hash_root(1, 1, 16384, leaf + leaf),
        hash_root(1, 1, 16384, b""),
    }
    assert len(roots) == 6
    assert leaf not in roots
    assert {len(root) for root in roots} == {HASH_BYTES}
