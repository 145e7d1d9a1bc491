"""The debug log: one line for each event, and nothing of what people write or know."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest

from trio_chat.core import commands, effects, orders
from trio_chat.core.commands import session_id
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire
from trio_chat.server.log import (
    Record,
    as_json,
    as_text,
    describe,
    json_line,
    note,
    text_line,
)

SECRET = "s3cret\nw0rds"
NAME = "ha\nns"
SESSION = session_id(1, 5)
DELIVERY = wire.Delivery(1, NAME, "p\nc", 2, SECRET)
NOW = datetime(2026, 11, 27, 13, 5, 33, 250_000, UTC)
HEARD = wire.Announcement(NAME, "pc", 2, SECRET)

FILE = wire.File("a\nb", 1000, 10, 16384, bytes(32))

EVENTS: list[tuple[msgspec.Struct, str]] = [
    (wire.Hello(1, "p\nc", ("a\nb",)), r"hello version=1 client='p\nc' capabilities=(1)"),
    (wire.Login(1, NAME, SECRET), r"login id=1 user='ha\nns' password=(hidden)"),
    (wire.Resume(1, NAME, SECRET), r"resume id=1 user='ha\nns' token=(hidden)"),
    (wire.Message(2, NAME, SECRET), r"message id=2 to='ha\nns' text=(12 characters)"),
    (wire.Broadcast(2, SECRET), "broadcast id=2 text=(12 characters)"),
    (wire.WhoElse(2), "whoelse id=2 unasked=False"),
    (wire.WhoElseSince(2, 5.5), "whoelsesince id=2 seconds=5.5"),
    (wire.Block(2, NAME), r"block id=2 user='ha\nns'"),
    (wire.Unblock(2, NAME), r"unblock id=2 user='ha\nns'"),
    (wire.Logout(2), "logout id=2"),
    (wire.Ack(3), "ack seq=3"),
    (wire.Active(), "active"),
    (wire.Welcome(1, "trio-chat"), "welcome version=1 server='trio-chat' capabilities=(0)"),
    (wire.Ok(2), "ok id=2 waiting=0"),
    (wire.Sent(2, complete=False), "sent id=2 complete=False"),
    (wire.Users(2, (NAME,)), "users id=2 users=(1)"),
    (wire.Error(ErrorCode.BUSY, "a\nb", 2), r"error code=busy text='a\nb' id=2"),
    (DELIVERY, r"delivery seq=1 sender='ha\nns' client='p\nc' id=2 text=(12 characters)"),
    (wire.Token(SECRET), "token token=(hidden)"),
    (
        HEARD,
        r"announcement sender='ha\nns' client='pc' id=2 text=(12 characters) operator=False",
    ),
    (wire.Unregister(2, NAME), r"unregister id=2 name='ha\nns'"),
    (wire.Presence(NAME, online=True), r"presence user='ha\nns' online=True"),
    (wire.Closed(ErrorCode.IDLE, "a\nb"), r"closed code=idle text='a\nb'"),
    (
        commands.SessionOpened(SESSION, "p\nc", SECRET, "::1", "::1"),
        r"SessionOpened session=1.5 client='p\nc' token=(hidden) address='::1' local_address='::1'"
        " waited=0.0",
    ),
    (
        wire.Register(2, FILE, (1, 3)),
        r"register id=2 file=(File name='a\nb' size=1000 chunks=10 piece_bytes=16384"
        " root=(32 bytes)) chunks=(2) fetching=False replace=False",
    ),
    (wire.Search(2, NAME, (3,)), r"search id=2 name='ha\nns' chunks=(1) fetchers=False"),
    (wire.Registered(2, new=True), "registered id=2 new=True"),
    (wire.Found(2, None, (wire.Holder(NAME, ()),)), "found id=2 file=None holders=(1)"),
    (wire.Listening(4001, b"abc"), "listening port=4001 certificate=(3 bytes)"),
    (
        wire.Introduce(2, NAME, SECRET),
        r"introduce id=2 user='ha\nns' ticket=(hidden) purpose='private'",
    ),
    (
        wire.Introduction(2, "::1", 4001, b"abc", 30),
        "introduction id=2 address='::1' port=4001 certificate=(3 bytes) seconds=30",
    ),
    (
        wire.Introduced(NAME, b"abc", SECRET, 30),
        r"introduced user='ha\nns' certificate=(3 bytes) ticket=(hidden) seconds=30 purpose='private'",
    ),
    (commands.SessionClosed(SESSION), "SessionClosed session=1.5"),
    (commands.Requests(SESSION, [wire.Login(1, NAME, SECRET)]), "Requests session=1.5 batch=(1)"),
    (
        commands.SessionFailed(SESSION, ErrorCode.SLOW, "a\nb"),
        r"SessionFailed session=1.5 code=slow text='a\nb'",
    ),
    (
        commands.PasswordChecked(SESSION, NAME, correct=True),
        r"PasswordChecked session=1.5 user='ha\nns' correct=True",
    ),
    (commands.Committed(3), "Committed number=3"),
    (commands.CommitFailed(3), "CommitFailed number=3"),
    (commands.MailboxLoaded(NAME, (DELIVERY,)), r"MailboxLoaded user='ha\nns' deliveries=(1)"),
    (commands.UsersChanged(frozenset({NAME})), "UsersChanged users=(1) changed=(0)"),
    (
        commands.Operate(3, orders.Kick(NAME, "a\nb")),
        r"Operate number=3 order=(kick user='ha\nns' text='a\nb')",
    ),
    (
        effects.Operated(3, orders.Outcome("not_online")),
        "Operated number=3 outcome=(outcome problem='not_online' users=0 messages=0 blocks=0"
        " files=0)",
    ),
    (commands.Tick(), "Tick"),
    (commands.Stop(), "Stop"),
    (
        effects.Send(SESSION, [DELIVERY]),
        "Send session=1.5 messages=(1)",
    ),
    (
        effects.SendMany((SESSION,), HEARD),
        r"SendMany sessions=(1) message=(announcement sender='ha\nns' client='pc' id=2"
        " text=(12 characters) operator=False) can_wait=False weight=0",
    ),
    (effects.Admit(SESSION, NAME), r"Admit session=1.5 user='ha\nns'"),
    (effects.Close(SESSION), "Close session=1.5"),
    (
        effects.CheckPassword(SESSION, NAME, SECRET),
        r"CheckPassword session=1.5 user='ha\nns' password=(hidden)",
    ),
    (
        effects.Commit(1, ((NAME, DELIVERY),), ((NAME, 1),), ((NAME, "b", True),)),
        "Commit number=1 messages=(1) acknowledged=(1) blocks=(1) files=(0) dropped=(0) held=(0)",
    ),
    (effects.LoadMailbox(NAME), r"LoadMailbox user='ha\nns'"),
]


@pytest.mark.parametrize(
    ("event", "line"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS]
)
def test_an_event_is_one_line_without_secrets(event: msgspec.Struct, line: str) -> None:
    assert as_text(describe(event)) == line
    as_object = as_json(describe(event), NOW)
    for rendered in (line, as_object):
        assert "\n" not in rendered
        assert "s3cret" not in rendered
        assert "w0rds" not in rendered
    kind = type(event).__struct_config__.tag or type(event).__name__
    assert json.loads(as_object)["event"] == kind
    assert json.loads(as_object)["ts"] == "2026-11-27T13:05:33.250+00:00"


def test_no_kind_of_event_is_missing_here() -> None:
    kinds = {type(event) for event, _ in EVENTS}
    for union in (wire.Request, wire.ServerMessage, commands.Command, effects.Effect):
        assert set(get_args(union)) <= kinds


@pytest.mark.parametrize(
    ("record", "text", "fields"),
    [
        (
            describe(wire.Message(2, NAME, SECRET), session="1.5", direction="in"),
            r"session 1.5 > message id=2 to='ha\nns' text=(12 characters)",
            {
                "event": "message",
                "direction": "in",
                "session": "1.5",
                "fields": {"id": 2, "to": NAME, "text": "(12 characters)"},
            },
        ),
        (
            describe(wire.Ok(2), session="1.5", user="hans", direction="out"),
            "hans < ok id=2 waiting=0",
            {
                "event": "ok",
                "direction": "out",
                "session": "1.5",
                "user": "hans",
                "fields": {"id": 2, "waiting": 0},
            },
        ),
        (
            describe(effects.SendMany((SESSION,), HEARD)),
            r"SendMany sessions=(1) message=(announcement sender='ha\nns' client='pc'"
            " id=2 text=(12 characters) operator=False) can_wait=False weight=0",
            {
                "event": "SendMany",
                "fields": {
                    "sessions": "(1)",
                    "message": {
                        "sender": NAME,
                        "client": "pc",
                        "id": 2,
                        "text": "(12 characters)",
                        "operator": False,
                    },
                    "can_wait": False,
                    "weight": 0,
                },
            },
        ),
        (
            note("listening", "listening on a, b", addresses=["a", "b"]),
            "listening on a, b",
            {
                "event": "listening",
                "text": "listening on a, b",
                "fields": {"addresses": ["a", "b"]},
            },
        ),
    ],
)
def test_a_record_has_two_renderings(record: Record, text: str, fields: dict[str, object]) -> None:
    assert as_text(record) == text
    rendered = json.loads(as_json(record, NOW))
    assert rendered.pop("ts") == NOW.isoformat(timespec="milliseconds")
    assert rendered == fields


def test_a_line_has_its_time() -> None:
    record = note("happened", "a\nb")
    as_object = json.loads(json_line(record))
    assert as_object["text"] == "a\nb"
    line = text_line(record)
    assert line[19:] == " a\nb"
    for time in (as_object["ts"], line[:19]):
        assert datetime.fromisoformat(time).replace(tzinfo=None) <= datetime.now()  # noqa: DTZ005  # local, as it says
