"""Bytes to messages and back, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat import limits
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.protocol.framing import (
    Batch,
    LineDecoder,
    encode_line,
    encode_lines,
    request_decoder,
    server_message_decoder,
)
from trio_chat.protocol.messages import Ack, Broadcast, Ok, Request, Users, WhoElse

MAX = 100
GOOD = b'{"type":"whoelse","id":1}'
LONG = b'{"type":"broadcast","id":2,"text":"' + b"x" * MAX + b'"}'


def decoder(line_bytes_max: int = MAX) -> LineDecoder[Request]:
    decoder = request_decoder()
    decoder.line_bytes_max = line_bytes_max
    return decoder


def feed(*parts: bytes) -> tuple[list[Request], ErrorCode | None]:
    """What a decoder makes of these parts: the messages, and how it ended."""
    lines = decoder()
    messages = [message for part in parts for message in lines.feed(part)]
    return messages, lines.violation.code if lines.violation else None


def test_messages_survive_the_way_over_the_wire() -> None:
    sent = [WhoElse(1), Broadcast(2, 'quotes " and\nnew lines 😀'), Ack(3)]
    assert feed(encode_lines(sent)) == (sent, None)


def test_a_line_may_come_in_pieces_and_with_others() -> None:
    assert feed(GOOD[:5], GOOD[5:], b"\n" + GOOD + b"\n" + GOOD[:3], GOOD[3:] + b"\n") == (
        [WhoElse(1)] * 3,
        None,
    )


def test_a_line_without_its_end_is_not_a_message_yet() -> None:
    assert feed(GOOD) == ([], None)
    assert feed(b"") == ([], None)


def test_blank_lines_are_counted_until_somebody_takes_note() -> None:
    lines = decoder()
    lines.feed(GOOD + b"\n" + GOOD + b"\n")
    assert lines.skipped == 0
    lines.feed(b"\n\n" + GOOD + b"\n \r\n")
    lines.feed(b"\n ")
    assert lines.skipped == 4
    lines.skipped = 0
    lines.feed(b"\n")
    assert lines.skipped == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b"\n\n", b"\n\r\n\t \n"])
def test_blank_lines_and_white_space_around_a_message_do_not_matter(end: bytes) -> None:
    assert feed(end + b"  " + GOOD + end + GOOD + end) == ([WhoElse(1)] * 2, None)


def test_unknown_fields_are_ignored() -> None:
    assert feed(b'{"new":{"a":[1]},"type":"whoelse","id":1}\n') == ([WhoElse(1)], None)


BAD_LINES = {
    "not JSON": b"whoelse",
    "no object": b"[1]",
    "empty object": b"{}",
    "no type": b'{"id":1}',
    "unknown type": b'{"type":"dance","id":1}',
    "message of the other side": b'{"type":"ok","id":1}',
    "missing field": b'{"type":"whoelse"}',
    "wrong type of a field": b'{"type":"whoelse","id":"1"}',
    "number zero": b'{"type":"whoelse","id":0}',
    "number with a fraction": b'{"type":"whoelse","id":1.5}',
    "negative sequence number": b'{"type":"ack","seq":-1}',
    "number beyond what JSON can": b'{"type":"ack","seq":9007199254740992}',
    "huge integer": b'{"type":"ack","seq":' + b"9" * 70 + b"}",
    "huge exponent": b'{"type":"whoelsesince","id":1,"seconds":1e999}',
    "not a number": b'{"type":"whoelsesince","id":1,"seconds":NaN}',
    "negative time": b'{"type":"whoelsesince","id":1,"seconds":-1}',
    "bad UTF-8": b'{"type":"broadcast","id":1,"text":"\xff"}',
    "bad UTF-8 in a type": b'{"type":"\xff"}',
    "overlong UTF-8": b'{"type":"broadcast","id":1,"text":"\xc0\x80"}',
    "surrogate in UTF-8": b'{"type":"broadcast","id":1,"text":"\xed\xa0\x80"}',
    "lone surrogate": b'{"type":"broadcast","id":1,"text":"\\ud800"}',
    "surrogates in the wrong order": b'{"type":"broadcast","id":1,"text":"\\udc00\\ud800"}',
    "control character": b'{"type":"broadcast","id":1,"text":"\x01"}',
    "two objects": GOOD + GOOD,
    "two objects with space": GOOD + b" " + GOOD,
    "half an object": GOOD[:-1],
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "client name too long": b'{"type":"hello","version":1,"client":"' + b"c" * 65 + b'"}',
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_good_lines_before_a_bad_one_are_kept_and_nothing_behind_it(line: bytes) -> None:
    lines = decoder(limits.LOGIN_LINE_BYTES_MAX)
    assert lines.feed(GOOD + b"\n" + line + b"\n" + GOOD + b"\n") == [WhoElse(1)]
    assert lines.violation is not None
    assert lines.violation.code is ErrorCode.BAD_LINE
    assert lines.violation.text.startswith("Protocol error. ")
    assert lines.feed(GOOD + b"\n") == []


def test_deep_nesting_is_refused() -> None:
    lines = decoder(limits.LINE_BYTES_MAX)
    depth = limits.LINE_BYTES_MAX // 2 - 100  # Python 3.12 and 3.13 allow 10,000
    assert lines.feed(b'{"x":' + b"[" * depth + b"]" * depth + b"}\n") == []
    assert lines.violation is not None
    assert lines.violation.text == "Protocol error. Nested too deeply"


def test_invalid_utf8_is_named() -> None:
    lines = request_decoder()
    lines.feed(b'{"type":"broadcast","id":1,"text":"\xff"}\n')
    assert lines.violation is not None
    assert lines.violation.text == "Protocol error. Not valid UTF-8"


@pytest.mark.parametrize(
    "parts",
    [
        [b'{"type":"whoelse",\n"id":1}\n'],
        [b'{"type":"whoelse","x":{}\n,"id":1}\n'],
        [b'{"type":"whoelse",\n', b'"id":1}\n'],
    ],
)
def test_an_object_over_two_lines_is_refused(parts: list[bytes]) -> None:
    assert feed(*parts) == ([], ErrorCode.BAD_LINE)


@pytest.mark.parametrize("space", [b"", b" ", b"\t", b"\r"])
def test_two_objects_on_a_line_are_refused(space: bytes) -> None:
    two = GOOD + space + GOOD + b"\n"
    assert feed(two) == ([], ErrorCode.BAD_LINE)
    assert feed(GOOD + b"\n" + two + GOOD + b"\n") == ([WhoElse(1)], ErrorCode.BAD_LINE)


def line_of(size: int) -> bytes:
    """A good line of this many bytes, its newline included."""
    return GOOD + b" " * (size - len(GOOD) - 1) + b"\n"


def test_a_line_may_be_as_long_as_the_bound_says() -> None:
    exact = line_of(MAX)
    assert feed(exact) == ([WhoElse(1)], None)
    assert feed(exact[:-1], b"\n") == ([WhoElse(1)], None)
    assert feed(exact + exact) == ([WhoElse(1)] * 2, None)
    assert feed(exact + exact[:-1], b"\n") == ([WhoElse(1)] * 2, None)


@pytest.mark.parametrize(
    "parts",
    [
        [line_of(MAX + 1)],
        [line_of(MAX + 1)[:-1], b"\n"],
        [line_of(MAX + 2)[:-1]],
        [LONG + b"\n"],
        [LONG],
        [LONG[:50], LONG[50:]],
        [b"x" * 1000],
        [b" " * (MAX + 1)],
        [b" " * MAX + b"\n"],
    ],
)
def test_a_line_that_is_too_long_is_refused(parts: list[bytes]) -> None:
    assert feed(*parts) == ([], ErrorCode.LINE_TOO_LONG)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n" + GOOD + b"\n"])
def test_good_lines_before_one_that_is_too_long_are_kept(end: bytes) -> None:
    lines = decoder()
    assert lines.feed(GOOD + b"\n" + LONG + end) == [WhoElse(1)]
    assert lines.violation is not None
    assert lines.violation.code is ErrorCode.LINE_TOO_LONG
    assert lines.violation.text == f"Protocol error. A line can have at most {MAX} bytes"


def test_many_lines_may_be_longer_than_one_line_may() -> None:
    assert feed((GOOD + b"\n") * 100) == ([WhoElse(1)] * 100, None)


def test_the_bound_can_be_raised_after_login() -> None:
    lines = request_decoder()
    text = "x" * limits.LOGIN_LINE_BYTES_MAX
    line = encode_line(Broadcast(1, text)) + b"\n"
    lines.line_bytes_max = limits.LINE_BYTES_MAX
    assert lines.feed(line) == [Broadcast(1, text)]
    stranger = request_decoder()
    assert stranger.feed(line) == []
    assert stranger.violation is not None


def test_the_longest_text_fits_a_line_even_fully_escaped() -> None:
    text = "\x01" * limits.TEXT_BYTES_MAX
    lines = decoder(limits.LINE_BYTES_MAX)
    sent = Broadcast(limits.INTEGER_MAX, text)
    assert lines.feed(encode_line(sent) + b"\n") == [sent]


def test_raw_messages_are_copied_as_they_are() -> None:
    assert encode_lines([msgspec.Raw(b'{"type":"ok","id":1}'), Ok(2)]) == (
        b'{"type":"ok","id":1}\n{"type":"ok","id":2}\n'
    )


def test_a_client_understands_what_a_server_says() -> None:
    lines = server_message_decoder()
    assert lines.feed(encode_lines([Ok(1), Users(2, ("a", "b"))])) == [Ok(1), Users(2, ("a", "b"))]
    lines.feed(GOOD + b"\n")
    assert isinstance(lines.violation, ProtocolViolation)


good_lines = st.sampled_from([GOOD, b" " + GOOD, GOOD + b"\r", b"", b"\r", line_of(MAX)[:-1]])
other_lines = st.sampled_from([*BAD_LINES.values(), LONG]) | st.binary(max_size=20)
streams = st.lists(good_lines | good_lines | other_lines, max_size=8).map(b"\n".join)


@given(streams, st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_same_messages(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(edges)]
    assert feed(*parts) == feed(stream) == feed(*(bytes([byte]) for byte in stream))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing(data: bytes) -> None:
    messages, end = feed(data + b"\n")
    assert messages == []
    assert (end is None) == (not data.strip())


def test_the_names_of_all_who_may_be_online_fit_a_line_of_the_server() -> None:
    names = tuple(f"{number:0{limits.NAME_BYTES_MAX}}" for number in range(limits.CONNECTIONS_MAX))
    message = Users(2, names)
    assert server_message_decoder().feed(encode_lines([message])) == [message]


def test_a_batch_is_encoded_like_its_messages_and_can_grow() -> None:
    first, second, third = Ok(1), Ok(2), Ok(3)
    batch = Batch()
    batch.append(first)
    for _ in range(2):
        assert encode_lines([batch, third]) == encode_lines([first, third])
    batch.append(second)
    assert encode_lines([batch, third]) == encode_lines([first, second, third])


def test_empty_lines_are_skipped_and_counted_however_they_are_written() -> None:
    lines = server_message_decoder()
    ok = b'{"type":"ok","id":%d}\n'
    data = b"\n \r\n\n" + ok % 1 + b"\t\n\n  " + ok % 2 + b"\r\n" * 1000 + ok % 3 + b"\n"
    assert [message.id for message in lines.feed(data)] == [1, 2, 3]  # type: ignore[union-attr]
    assert lines.violation is None
    assert lines.skipped == 3 + 2 + 1000 + 1
