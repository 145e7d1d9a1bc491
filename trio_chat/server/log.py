"""The debug log: one readable line for each event, on standard error, with ``-d`` only.

Passwords, tokens and what people write to each other never appear in it.
"""

from __future__ import annotations

import sys
from datetime import datetime
from enum import Enum

import msgspec

from ..core.commands import session_name
from ..protocol import messages as wire

_SECRETS = frozenset({"password", "ticket", "token"})
_WRITTEN_BY_PEOPLE = (wire.Message, wire.Broadcast, wire.Delivery, wire.Announcement)


def describe(event: msgspec.Struct) -> str:
    """Tell a command, an effect or a message in one line, without what is private."""
    kind = type(event)
    words = [str(kind.__struct_config__.tag or kind.__name__)]
    words += [
        f"{name}={_describe_field(event, name, getattr(event, name))}"
        for name in kind.__struct_fields__
    ]
    return " ".join(words)


def _describe_field(event: msgspec.Struct, name: str, value: object) -> str:
    if name in _SECRETS:
        return "(hidden)"
    if name == "text" and isinstance(event, _WRITTEN_BY_PEOPLE):
        return f"({len(str(value))} characters)"
    if name == "session":
        assert isinstance(value, int)
        return session_name(value)
    if isinstance(value, msgspec.Struct):
        return f"({describe(value)})"
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, tuple | list | frozenset):
        return f"({len(value)})"
    if isinstance(value, Enum):
        return str(value.value)
    return repr(value)


def log_to_stderr(text: str) -> None:
    """Write one line of the log, with its time."""
    write_line(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}")


def write_line(line: str) -> None:
    """Write to standard error; one that is gone, or never was, does not stop the server."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        return
