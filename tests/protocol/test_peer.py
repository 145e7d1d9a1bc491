"""What clients say to each other directly: what each message looks like on the wire."""

from __future__ import annotations

from typing import get_args

import pytest

from trio_chat.errors import ErrorCode
from trio_chat.protocol import peer
from trio_chat.protocol.framing import encode_line

MESSAGES: dict[peer.PeerMessage, bytes] = {
    peer.PeerHello(1): b'{"type":"hello","version":1}',
    peer.Private(1, "hey dude"): b'{"type":"private","id":1,"text":"hey dude"}',
    peer.PrivateAck(7): b'{"type":"ack","id":7}',
    peer.Bye(): b'{"type":"bye"}',
    peer.Bye(left=True): b'{"type":"bye","left":true}',
}


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_messages_look_like_this_and_come_back_the_same(message: peer.PeerMessage) -> None:
    assert encode_line(message) == MESSAGES[message]
    assert peer.peer_decoder().feed(MESSAGES[message] + b"\n") == [message]


def test_every_message_has_its_example_here() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(peer.PeerMessage))


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"private","id":0,"text":"hi"}',
        b'{"type":"private","id":1}',
        b'{"type":"ack","id":"1"}',
        b'{"type":"login","id":1,"user":"hans","password":"solo"}',
        b"private",
    ],
)
def test_anything_else_is_a_violation(line: bytes) -> None:
    decoder = peer.peer_decoder()
    assert decoder.feed(line + b"\n") == []
    assert decoder.violation is not None
    assert decoder.violation.code is ErrorCode.BAD_LINE
