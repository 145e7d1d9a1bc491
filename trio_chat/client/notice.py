"""What a person or a program is shown: one notice for each thing that happened.

Rule: pure. `render` and `files.render` make notices, and terminals show them: as plain lines, as
lines in colour, or as one JSON object each. What a notice holds is all that any of them may know.

The kinds and their fields are an interface for programs, which `docs/scripting.md` describes: a
new one may be added, but none is renamed, removed, or given another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec
from msgspec import Struct

_encoder = msgspec.json.Encoder()

Field = str | int | float | bool | None | Sequence[str] | Sequence[Mapping[str, object]]
"""What JSON can say."""


class Kind(Enum):
    """What a notice is about; its value is the ``event`` of programs."""

    MESSAGE = "message"
    PRIVATE = "private"
    BROADCAST = "broadcast"
    PRESENCE = "presence"
    WELCOME = "welcome"
    CONNECTION = "connection"
    OK = "ok"
    USERS = "users"
    FOUND = "found"
    HELP = "help"
    LINK = "link"
    FILE = "file"
    PROGRESS = "progress"
    ERROR = "error"
    CLOSED = "closed"
    INFO = "info"

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, in their order."""
        return _FIELDS[self]


_FIELDS = {
    Kind.MESSAGE: ("from", "text"),
    Kind.PRIVATE: ("from", "text"),
    Kind.BROADCAST: ("from", "text"),
    Kind.PRESENCE: ("user", "online", "text"),
    Kind.WELCOME: ("user", "text"),
    Kind.CONNECTION: ("state", "text"),
    Kind.OK: ("command", "user", "text"),
    Kind.USERS: ("command", "users", "text"),
    Kind.FOUND: ("name", "size", "chunks", "holders", "text"),
    Kind.HELP: ("text",),
    Kind.LINK: ("user", "state", "text"),
    Kind.FILE: ("name", "state", "path", "text"),
    Kind.PROGRESS: ("name", "size", "done", "rate", "peers", "trouble", "text"),
    Kind.ERROR: ("code", "command", "user", "text"),
    Kind.CLOSED: ("code", "text"),
    Kind.INFO: ("text",),
}

assert set(_FIELDS) == set(Kind), "every kind has its fields"

CHAT = frozenset({Kind.MESSAGE, Kind.PRIVATE, Kind.BROADCAST})
"""What other people have written."""


class Notice(Struct, frozen=True):
    """One thing to show; nothing in it controls a terminal.

    Attributes:
        kind: what it is about.
        lines: as a person sees it; none if only programs want to know.
        fields: as a program sees it; `Kind.fields` names them.
        hint: a further line, for somebody who sits there and can try again.
        has_waited: whether it is a message that had to wait for the login.
    """

    kind: Kind
    lines: tuple[str, ...]
    fields: Mapping[str, Field]
    hint: str = ""
    has_waited: bool = False

    def __post_init__(self) -> None:
        assert tuple(self.fields) == self.kind.fields, f"{self.kind} has other fields"

    @property
    def sender(self) -> str:
        """Who has written it; empty if nobody has."""
        sender = self.fields.get("from", "")
        assert isinstance(sender, str)
        return sender


def notice(kind: Kind, *lines: str, **fields: Field) -> Notice:
    """A notice whose text for programs is its lines."""
    return Notice(kind, lines, {**fields, "text": "\n".join(lines)})


def error(
    code: str, line: str, command: str = "", user: str | None = None, *, hint: str = ""
) -> Notice:
    """Something was not done.

    Args:
        code: why, for programs.
        line: why, for people.
        command: which was it; empty if none was.
        user: whom it concerns, if it is one.
        hint: what may help.
    """
    fields: dict[str, Field] = {"code": code, "command": command, "user": user, "text": line}
    return Notice(Kind.ERROR, (line,), fields, hint)


def text_of(notices: Sequence[Notice]) -> str:
    """The lines of notices, each with its newline."""
    return "".join(f"{line}\n" for notice in notices for line in notice.lines)


def json_of(notices: Sequence[Notice]) -> str:
    """What a program sees of notices: an object each, in a line of its own."""
    objects = [{"event": notice.kind.value, **notice.fields} for notice in notices]
    return _encoder.encode_lines(objects).decode()


def text_with_hints(notices: Sequence[Notice]) -> str:
    """The same for somebody who sits there."""
    return "".join(
        f"{line}\n"
        for notice in notices
        for line in (*notice.lines, *([notice.hint] if notice.hint else []))
    )
