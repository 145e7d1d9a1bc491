"""The log: a record for each event, which becomes one line on standard error.

A record has two renderings: text for people, JSON for programs. What is private is taken out
when the record is made, so passwords, tokens and what people write to each other are in
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum

import msgspec
from msgspec import Struct

from ..core.commands import session_name
from ..protocol import messages as wire

_SECRETS = frozenset({"password", "ticket", "token"})
_WRITTEN_BY_PEOPLE = (wire.Message, wire.Broadcast, wire.Delivery, wire.Announcement)


class Bare(Struct, frozen=True):
    """What stands for a value, and is not in quotes: ``(hidden)``, ``(3)``, ``idle``."""

    text: str


Value = object
"""What a field holds: a number, a text, a `Bare`, or a `Record` of its own."""


class Record(Struct, frozen=True):
    """What the log says of one event.

    Attributes:
        event: what happened; the type of a message, a command or an effect, or a word of ours.
        fields: its details.
        session: whose it is; empty if it is of none.
        user: who is logged in on that session.
        direction: ``in`` for a message from a client, ``out`` for one to it, else empty.
        text: a sentence for people that takes the place of the fields.
    """

    event: str
    fields: Mapping[str, Value]
    session: str = ""
    user: str = ""
    direction: str = ""
    text: str = ""


Log = Callable[[Record], None]


def note(event: str, text: str, **fields: Value) -> Record:
    """A record of something that is no command and no effect."""
    return Record(event, fields, text=text)


def describe(
    event: msgspec.Struct, *, session: str = "", user: str = "", direction: str = ""
) -> Record:
    """A record of a command, an effect or a message, without what is private."""
    kind = type(event)
    fields = {name: _value(event, name) for name in kind.__struct_fields__ if name != "session"}
    if "session" in kind.__struct_fields__:
        session = session_name(event.session)  # type: ignore[attr-defined]  # as just seen
    name = str(kind.__struct_config__.tag or kind.__name__)
    return Record(name, fields, session, user, direction)


def _value(event: msgspec.Struct, name: str) -> Value:
    value: object = getattr(event, name)
    if name in _SECRETS:
        return Bare("(hidden)")
    if name == "text" and isinstance(event, _WRITTEN_BY_PEOPLE):
        return Bare(f"({len(str(value))} characters)")
    if isinstance(value, msgspec.Struct):
        return describe(value)
    if isinstance(value, bytes):
        return Bare(f"({len(value)} bytes)")
    if isinstance(value, tuple | list | frozenset):
        return Bare(f"({len(value)})")
    if isinstance(value, Enum):
        return Bare(str(value.value))
    return value


# -- Renderings --------------------------------------------------------------------------------


def as_text(record: Record) -> str:
    """A line for people, without its time."""
    if record.direction:
        who = record.user or f"session {record.session}"
        return f"{who} {'>' if record.direction == 'in' else '<'} {_words(record)}"
    return record.text or _words(record)


def _words(record: Record) -> str:
    words = [record.event]
    if record.session and not record.direction:
        words.append(f"session={record.session}")
    words += [f"{name}={_text_of(value)}" for name, value in record.fields.items()]
    return " ".join(words)


def _text_of(value: Value) -> str:
    if isinstance(value, Bare):
        return value.text
    if isinstance(value, Record):
        return f"({_words(value)})"
    return repr(value)


def as_json(record: Record, now: datetime) -> str:
    """A JSON object for programs; what is empty is left out."""
    line: dict[str, object] = {"ts": now.isoformat(timespec="milliseconds"), "event": record.event}
    for name in ("direction", "session", "user", "text"):
        value = getattr(record, name)
        if value:
            line[name] = value
    line["fields"] = _plain(record.fields)
    return msgspec.json.encode(line).decode()


def _plain(fields: Mapping[str, Value]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, Bare):
            plain[name] = value.text
        elif isinstance(value, Record):
            plain[name] = _plain(value.fields)
        else:
            plain[name] = value
    return plain


def text_line(record: Record) -> str:
    """A line for people, with its time."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {as_text(record)}"


def json_line(record: Record) -> str:
    """A line for programs, with its time."""
    return as_json(record, datetime.now().astimezone())


FORMATS: dict[str, Callable[[Record], str]] = {"text": text_line, "json": json_line}
"""How the log may be written."""
