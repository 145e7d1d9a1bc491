"""What a line that a person typed can mean: a request to the server, or work for the client."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from ..protocol import messages as wire

UNNUMBERED = 0
"""The id of a request that was not sent yet."""


class Help(Struct, frozen=True):
    """``help``: answered by the client itself.

    Attributes:
        lines: the answer.
    """

    lines: tuple[str, ...]


class StartPrivate(Struct, frozen=True):
    """``startprivate``: see `links`, as for the next two."""

    user: str


class Private(Struct, frozen=True):
    """``private``: a message that does not go through the server."""

    user: str
    text: str


class StopPrivate(Struct, frozen=True):
    """``stopprivate``."""

    user: str


class RegisterFile(Struct, frozen=True):
    """``register``: see `files.transfers`, as for the next ones."""

    path: Path


class UnregisterFile(Struct, frozen=True):
    """``unregister``."""

    name: str


class Download(Struct, frozen=True):
    """``download``."""

    name: str


class DownloadChunks(Struct, frozen=True):
    """``private <user> download <filename> <chunk>``."""

    user: str
    name: str
    chunks: str


class Cancel(Struct, frozen=True):
    """``cancel``."""

    name: str


class ListDownloads(Struct, frozen=True):
    """``downloads``."""


class Wait(Struct, frozen=True):
    """``wait``: for all lines before it."""


Numbered = (
    wire.Login
    | wire.Message
    | wire.Broadcast
    | wire.WhoElse
    | wire.WhoElseSince
    | wire.Block
    | wire.Unblock
    | wire.Introduce
    | wire.Register
    | wire.Unregister
    | wire.Search
    | wire.Logout
)
"""The requests that have a reply."""

AboutFiles = RegisterFile | UnregisterFile | Download | DownloadChunks | Cancel | ListDownloads
"""What `files.transfers` does."""

Line = (
    wire.Message
    | wire.Broadcast
    | wire.WhoElse
    | wire.WhoElseSince
    | wire.Block
    | wire.Unblock
    | wire.Logout
    | StartPrivate
    | Private
    | StopPrivate
    | wire.Search
    | AboutFiles
    | Wait
    | Help
)
"""What a line that is not empty can mean."""
