"""What a person wants to have in view: who they are, whether there is a server, who is online.

Rule: pure. The tasks of a client tell the board what has changed, each its own part, and the
terminal gets all of it as one `Status`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct

from .notice import Notice


class Line(Enum):
    """The connection to the server; its value is what a person sees."""

    NONE = ""
    ENCRYPTED = "TLS"
    CLEAR = "not encrypted"
    RECONNECTING = "reconnecting"
    GONE = "no server"


class Status(Struct, frozen=True):
    """All of it.

    Attributes:
        user: who is logged in; empty if nobody is.
        line: to the server.
        online: the others who are online; none if that is not known.
        known: the names of others who were heard of, online or not.
        files: the names of files that others have.
        private: to whom there is a direct connection.
        transfers: how far registrations and downloads are.
    """

    user: str = ""
    line: Line = Line.NONE
    online: tuple[str, ...] | None = None
    known: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    transfers: tuple[Notice, ...] = ()


class Board:
    """Where all parts of a client write what they know.

    Attributes:
        status: all of it.

    Args:
        show: takes it when it has changed.
    """

    def __init__(self, show: Callable[[Status], None]) -> None:
        self.status = Status()
        self._show = show

    def update(self, **changes: Any) -> None:
        """Some attributes of the status have other values now."""
        status = msgspec.structs.replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self._show(status)
