"""How files are cut, what is believed of a manifest, and how people write chunks."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat import limits
from trio_chat.swarm.hashing import hash_leaf
from trio_chat.swarm.manifest import (
    Layout,
    Leaves,
    Manifest,
    choose_piece_bytes,
    format_chunks,
    parse_chunks,
)

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@given(st.one_of(st.integers(0, 200), st.integers(0, 3 * MIB)))
def test_pieces_and_chunks_cover_the_file_once_and_in_order(size: int) -> None:
    layout = Layout.of(size)
    assert layout.chunks == min(size, 10)
    at, piece = 0, 0
    for chunk in range(1, layout.chunks + 1):
        offset, length = layout.chunk_span(chunk)
        assert offset == at
        assert length >= 1
        assert length == layout.chunk_bytes or chunk == layout.chunks
        for number in layout.pieces_of(chunk):
            assert number == piece
            assert layout.chunk_of(number) == chunk
            offset, piece_length = layout.span(number)
            assert offset == at
            assert 1 <= piece_length <= layout.piece_bytes
            at, piece = at + piece_length, piece + 1
        assert at == sum(layout.chunk_span(chunk))
    assert (at, piece) == (size, layout.pieces)


@given(st.one_of(st.integers(0, 3 * MIB), st.integers(GIB, 2 * GIB)))
def test_leaves_cover_the_pieces_once_and_in_order(size: int) -> None:
    layout = Layout.of(size)
    count = 0
    for piece in range(layout.pieces):
        at, length = layout.span(piece)
        leaves = layout.leaves_of(piece)
        assert [leaf.number for leaf in leaves] == list(range(count, count + len(leaves)))
        assert len(leaves) == (2 if length > limits.LEAF_BYTES_MAX else 1)
        for leaf in leaves:
            assert leaf.offset == at
            assert 1 <= leaf.size <= layout.leaf_bytes
            at += leaf.size
        assert at == sum(layout.span(piece))
        count += len(leaves)
    assert count == layout.leaves


@pytest.mark.parametrize(
    ("size", "piece_bytes"),
    [
        (0, 16 * KIB),
        (4 * MIB, 16 * KIB),
        (4 * MIB + 1, 32 * KIB),
        (64 * MIB, 256 * KIB),
        (256 * MIB, MIB),
        (512 * MIB, 2 * MIB),
        (GIB, 4 * MIB),
        (10 * GIB, 4 * MIB),
        (limits.FILE_BYTES_MAX, 4 * MIB),
    ],
)
def test_larger_files_have_larger_pieces_up_to_a_bound(size: int, piece_bytes: int) -> None:
    assert choose_piece_bytes(size) == piece_bytes
    assert Layout.of(size).pieces <= limits.PIECES_MAX


GOOD = {"name": "a", "size": 100, "chunks": 10, "piece_bytes": 16384, "root": b"r" * 32}
BAD = [
    {"size": -1},
    {"size": 2**200},
    {"size": limits.FILE_BYTES_MAX + 1},
    {"chunks": 9},
    {"chunks": 0},
    {"chunks": 10**12},
    {"size": 3, "chunks": 10},
    {"piece_bytes": 0},
    {"piece_bytes": 8192},
    {"piece_bytes": 16385},
    {"piece_bytes": 8 * MIB},
    {"size": limits.FILE_BYTES_MAX, "piece_bytes": 16384},
    {"name": ""},
    {"name": "ä" * 128},
    {"root": b"r" * 31},
    {"size": "100"},
    {"root": 7},
]


def test_a_good_manifest_crosses_the_wire() -> None:
    manifest = msgspec.json.decode(msgspec.json.encode(GOOD), type=Manifest)
    assert manifest == Manifest(name="a", size=100, chunks=10, piece_bytes=16384, root=b"r" * 32)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


@pytest.mark.parametrize("change", BAD)
def test_a_hostile_manifest_is_refused_when_it_is_decoded(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(msgspec.json.encode(GOOD | change), type=Manifest)


def test_a_name_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        Manifest(name="\ud800", size=100, chunks=10, piece_bytes=16384, root=b"r" * 32)


def cut(contents: bytes) -> tuple[Layout, list[bytes]]:
    layout = Layout.of(len(contents))
    spans = [layout.span(piece) for piece in range(layout.pieces)]
    return layout, [contents[offset : offset + length] for offset, length in spans]


def test_each_piece_is_proved_by_the_root() -> None:
    layout, pieces = cut(bytes(range(256)) * 1000)
    packed = b"".join(map(hash_leaf, pieces))
    manifest = Manifest.build("f", layout, packed)
    leaves = Leaves(manifest, packed)
    assert leaves.packed == packed
    assert leaves.manifest.name == "f"
    assert all(leaves.verify(number, piece) for number, piece in enumerate(pieces))
    assert not leaves.verify(0, pieces[0][:-1])
    assert not leaves.verify(0, pieces[1][:-1] + b"x")


def test_hashes_that_are_not_those_of_the_manifest_are_refused() -> None:
    layout, pieces = cut(b"0123456789")
    packed = b"".join(map(hash_leaf, pieces))
    manifest = Manifest.build("f", layout, packed)
    for wrong in (b"", packed[:-1], packed + packed, bytes([packed[0] ^ 1]) + packed[1:]):
        with pytest.raises(ValueError, match="list of hashes"):
            Leaves(manifest, wrong)


def test_an_empty_file_has_a_root_too() -> None:
    manifest = Manifest.build("f", Layout.of(0), b"")
    assert (manifest.pieces, manifest.chunks, manifest.chunk_pieces) == (0, 0, 0)
    assert Leaves(manifest, b"").packed == b""


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("3", (3,)),
        ("1 4", (1, 4)),
        ("1,4", (1, 4)),
        (" 4 , 1,1 ", (1, 4)),
        ("2-5", (2, 3, 4, 5)),
        ("9-10 2-3,3", (2, 3, 9, 10)),
        ("7-7", (7,)),
    ],
)
def test_chunks_as_people_write_them(text: str, chunks: tuple[int, ...]) -> None:
    assert parse_chunks(text, 10) == chunks


@pytest.mark.parametrize(
    ("text", "count", "sentence"),
    [
        ("", 10, "Chunks are written like 3 or 1,4 or 2-5"),
        (", ,", 10, "Chunks are written like 3 or 1,4 or 2-5"),
        ("a", 10, "Chunks are written like 3 or 1,4 or 2-5, not a"),
        ("-1", 10, "Chunks are written like 3 or 1,4 or 2-5, not -1"),
        ("1-", 10, "Chunks are written like 3 or 1,4 or 2-5, not 1-"),
        ("²", 10, "Chunks are written like 3 or 1,4 or 2-5, not ²"),
        ("0", 10, "The file has the chunks 1 to 10, and no chunk 0"),
        ("2-11", 10, "The file has the chunks 1 to 10, and no chunk 2-11"),
        ("999999999", 10, "The file has the chunks 1 to 10, and no chunk 999999999"),
        ("2", 1, "The file has one chunk, 1, and no chunk 2"),
        ("5-2", 10, "A range of chunks is written like 2-5, not 5-2"),
        ("1", 0, "The file is empty and has no chunks"),
    ],
)
def test_what_is_no_chunk_is_told_in_a_sentence(text: str, count: int, sentence: str) -> None:
    with pytest.raises(ValueError, match="hunk") as caught:
        parse_chunks(text, count)
    assert str(caught.value) == sentence


def test_chunks_as_people_read_them() -> None:
    assert format_chunks([]) == ""
    assert format_chunks([3, 1, 2, 7]) == "1-3,7"
    assert format_chunks([10, 1, 5, 6]) == "1,5-6,10"


@given(st.sets(st.integers(1, 10), min_size=1))
def test_reading_what_was_written_gives_the_same(chunks: set[int]) -> None:
    assert parse_chunks(format_chunks(chunks), 10) == tuple(sorted(chunks))
