"""The closed set of messages: what each looks like on the wire."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import (
    LineDecoder,
    encode_line,
    request_decoder,
    server_message_decoder,
)

TICKET = "0123456789abcdef" * 2

FILE = wire.File("a.bin", 1000, 10, 16384, b"r" * 32)
FILE_LINE = (
    b'{"name":"a.bin","size":1000,"chunks":10,"piece_bytes":16384,'
    b'"root":"cnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI="}'
)

REQUESTS: dict[wire.Request, bytes] = {
    wire.Hello(1): b'{"type":"hello","version":1}',
    wire.Hello(1, "pc", ("tls",)): (
        b'{"type":"hello","version":1,"client":"pc","capabilities":["tls"]}'
    ),
    wire.Login(1, "hans", "solo"): b'{"type":"login","id":1,"user":"hans","password":"solo"}',
    wire.Resume(1, "hans", "t0"): b'{"type":"resume","id":1,"user":"hans","token":"t0"}',
    wire.Message(2, "yoda", "hi"): b'{"type":"message","id":2,"to":"yoda","text":"hi"}',
    wire.Broadcast(3, "hi"): b'{"type":"broadcast","id":3,"text":"hi"}',
    wire.WhoElse(4): b'{"type":"whoelse","id":4}',
    wire.WhoElseSince(5, 1.5): b'{"type":"whoelsesince","id":5,"seconds":1.5}',
    wire.Block(6, "yoda"): b'{"type":"block","id":6,"user":"yoda"}',
    wire.Unblock(7, "yoda"): b'{"type":"unblock","id":7,"user":"yoda"}',
    wire.Listening(4001, b"abc"): b'{"type":"listening","port":4001,"certificate":"YWJj"}',
    wire.Introduce(8, "yoda", TICKET): (
        b'{"type":"introduce","id":8,"user":"yoda","ticket":"' + TICKET.encode() + b'"}'
    ),
    wire.Register(8, FILE, (1, 3)): (
        b'{"type":"register","id":8,"file":' + FILE_LINE + b',"chunks":[1,3]}'
    ),
    wire.Register(8, FILE, (1,), replace=True): (
        b'{"type":"register","id":8,"file":' + FILE_LINE + b',"chunks":[1],"replace":true}'
    ),
    wire.Unregister(8, "a.bin"): b'{"type":"unregister","id":8,"name":"a.bin"}',
    wire.Search(8, "a.bin"): b'{"type":"search","id":8,"name":"a.bin"}',
    wire.Search(8, "a.bin", (3,)): b'{"type":"search","id":8,"name":"a.bin","chunks":[3]}',
    wire.Logout(8): b'{"type":"logout","id":8}',
    wire.Ack(9): b'{"type":"ack","seq":9}',
    wire.Active(): b'{"type":"active"}',
}

SERVER_MESSAGES: dict[wire.ServerMessage, bytes] = {
    wire.Welcome(1, "trio-chat"): b'{"type":"welcome","version":1,"server":"trio-chat"}',
    wire.Ok(2): b'{"type":"ok","id":2}',
    wire.Sent(3, False): b'{"type":"sent","id":3,"complete":false}',
    wire.Users(4, ("a", "b")): b'{"type":"users","id":4,"users":["a","b"]}',
    wire.Error(ErrorCode.BUSY, "Busy", 5): b'{"type":"error","code":"busy","text":"Busy","id":5}',
    wire.Error(ErrorCode.BAD_LINE, "Bad"): b'{"type":"error","code":"bad_line","text":"Bad"}',
    wire.Delivery(6, "hans", "pc", 2, "hi"): (
        b'{"type":"delivery","seq":6,"from":"hans","client":"pc","id":2,"text":"hi"}'
    ),
    wire.Token("t0"): b'{"type":"token","token":"t0"}',
    wire.Announcement("hans", "pc", 2, "hi"): (
        b'{"type":"announcement","from":"hans","client":"pc","id":2,"text":"hi"}'
    ),
    wire.Announcement("the operator", "5f", 1, "hi", operator=True): (
        b'{"type":"announcement","from":"the operator","client":"5f","id":1,"text":"hi",'
        b'"operator":true}'
    ),
    wire.Presence("hans", True): b'{"type":"presence","user":"hans","online":true}',
    wire.Introduction(2, "::1", 4001, b"abc", 30): (
        b'{"type":"introduction","id":2,"address":"::1","port":4001,"certificate":"YWJj",'
        b'"seconds":30}'
    ),
    wire.Introduced("hans", b"abc", TICKET, 30): (
        b'{"type":"introduced","user":"hans","certificate":"YWJj","ticket":"'
        + TICKET.encode()
        + b'","seconds":30}'
    ),
    wire.Registered(2, new=True): b'{"type":"registered","id":2,"new":true}',
    wire.Found(2): b'{"type":"found","id":2}',
    wire.Found(2, FILE, (wire.Holder("hans", (1, 3)),)): (
        b'{"type":"found","id":2,"file":'
        + FILE_LINE
        + b',"holders":[{"user":"hans","chunks":[1,3]}]}'
    ),
    wire.Closed(ErrorCode.IDLE, "Idle"): b'{"type":"closed","code":"idle","text":"Idle"}',
}


def check(
    decoder: LineDecoder[wire.Request] | LineDecoder[wire.ServerMessage],
    message: wire.Request | wire.ServerMessage,
    line: bytes,
) -> None:
    assert encode_line(message) == line
    assert decoder.feed(line + b"\n") == [message]


@pytest.mark.parametrize("message", REQUESTS, ids=str)
def test_requests_look_like_this_and_come_back_the_same(message: wire.Request) -> None:
    check(request_decoder(), message, REQUESTS[message])


@pytest.mark.parametrize("message", SERVER_MESSAGES, ids=str)
def test_server_messages_look_like_this_and_come_back_the_same(message: wire.ServerMessage) -> None:
    check(server_message_decoder(), message, SERVER_MESSAGES[message])


def test_every_message_has_its_example_here() -> None:
    assert {type(message) for message in REQUESTS} == set(get_args(wire.Request))
    assert {type(message) for message in SERVER_MESSAGES} == set(get_args(wire.ServerMessage))


def test_types_are_unique() -> None:
    kinds = (*get_args(wire.Request), *get_args(wire.ServerMessage))
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(kinds)


def test_replies_and_events_are_all_that_a_server_says() -> None:
    assert {*get_args(wire.Reply), *get_args(wire.Event)} == set(get_args(wire.ServerMessage))
    assert not set(get_args(wire.Reply)) & set(get_args(wire.Event))


def test_every_request_with_a_number_has_its_reply() -> None:
    numbered = {kind for kind in get_args(wire.Request) if "id" in kind.__struct_fields__}
    assert wire.REPLY_TO.keys() == numbered | {wire.Hello}
    assert {*wire.REPLY_TO.values(), wire.Error} == set(get_args(wire.Reply))


def test_messages_are_immutable() -> None:
    for kind in (*get_args(wire.Request), *get_args(wire.ServerMessage)):
        assert kind.__struct_config__.frozen
    with pytest.raises(AttributeError):
        wire.Ok(1).id = 2  # type: ignore[misc]  # that is the point


def test_defaults_are_not_sent() -> None:
    for message in (*REQUESTS, *SERVER_MESSAGES):
        assert None not in msgspec.json.decode(encode_line(message)).values()


LONG = "x" * (limits.NAME_BYTES_MAX + 1)


@pytest.mark.parametrize(
    "line",
    [
        {"type": "introduced", "user": LONG, "certificate": "", "ticket": "0" * 32, "seconds": 1},
        {"type": "presence", "user": LONG, "online": True},
        {"type": "users", "id": 1, "users": ["hans", LONG]},
        {"type": "found", "id": 1, "holders": [{"user": LONG, "chunks": []}]},
        {"type": "delivery", "seq": 1, "from": LONG, "client": "c", "id": 1, "text": ""},
        {"type": "delivery", "seq": 1, "from": "h", "client": LONG * 9, "id": 1, "text": ""},
        {"type": "announcement", "from": LONG, "client": "c", "id": 1, "text": ""},
        {"type": "token", "token": LONG * 9},
    ],
    ids=lambda line: line["type"],
)
def test_what_a_client_remembers_is_bounded_wherever_it_comes_from(line: object) -> None:
    """A hostile server has no other limit than that of a line."""
    decoder = msgspec.json.Decoder(wire.ServerMessage)
    with pytest.raises(msgspec.ValidationError, match="length"):
        decoder.decode(msgspec.json.encode(line))
