"""What the server knows of a file, before anything of it is fetched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...protocol import messages as wire
from ...swarm.manifest import Manifest
from ..connection import ConnectionLost
from ..meanings import UNNUMBERED, Numbered
from .fetch import FetchError
from .holders import Holding

Ask = Callable[[Numbered], Awaitable[wire.Reply]]
"""Sends a request to the server, and returns its reply, which nobody has shown."""


class NoAnswerError(FetchError):
    """The server can't be asked now."""


async def search(ask: Ask, name: str) -> tuple[Manifest, list[Holding]]:
    """What the server knows of a file.

    Raises:
        NoAnswerError: if it does not answer.
        FetchError: if it knows nothing, or what it says makes no sense.
    """
    try:
        reply = await ask(wire.Search(UNNUMBERED, name, fetchers=True))
    except ConnectionLost:
        raise NoAnswerError("there is no connection to the server") from None
    if isinstance(reply, wire.Error):
        raise NoAnswerError(reply.text)
    if not isinstance(reply, wire.Found) or reply.file is None:
        raise FetchError("Not available")
    file = reply.file
    try:
        manifest = Manifest(
            name=file.name,
            size=file.size,
            chunks=file.chunks,
            piece_bytes=file.piece_bytes,
            root=file.root,
        )
    except ValueError as error:
        raise FetchError(f"what the server says of it makes no sense ({error})") from None
    if manifest.name != name:
        raise FetchError("the server has found another file")
    return manifest, [(holder.user, holder.chunks) for holder in reply.holders]
