"""The client from start to end: reach the server, open the terminal, chat.

The server is reached and recognised first, so that nobody types a password for one that is not
there, or not the one that it was. What goes wrong until then is a `FailureError`, with one line
that explains it.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from functools import partial
from pathlib import Path

from .. import limits
from ..net import tcp
from ..net.tcp import TcpTransport
from ..net.transport import HandshakeError, Transport
from . import security
from .chat import Chat
from .files.transfers import FileOptions
from .peering import TlsPeering
from .session import Session, UnreachableError
from .state import identity_directory
from .terminal import Terminal

Encrypt = Callable[[TcpTransport, str, str], Awaitable[Transport]]
"""Takes a connection to a host over, which the person knows as a server; see `security`."""


async def run(
    host: str,
    port: int,
    open_terminal: Callable[[], AbstractAsyncContextManager[Terminal]],
    state_dir: Path,
    encrypt: Encrypt,
    peer_port: int = 0,
    peer_host: str | None = None,
    file_options: FileOptions | None = None,
    reconnect_seconds: float | None = None,
) -> int:
    """Connect, then chat; return the exit status.

    Args:
        host: the server's address or name.
        port: on which it listens.
        open_terminal: opens the person's terminal.
        state_dir: where the client remembers things.
        encrypt: makes sure of the server before anything is said to it.
        peer_port: where other clients connect; 0 lets the system pick one.
        peer_host: the name or address for that; none for all of this machine.
        file_options: what the person has decided about files.
        reconnect_seconds: how long to try to reach a server that is lost, 0 not to try; none
            for what suits the terminal: a script rather ends.

    Raises:
        FailureError: if there is no server to chat with.
    """
    server = tcp.format_address(host, port)

    async def connect() -> Transport:
        try:
            return await encrypt(await tcp.connect(host, port), host, server)
        except (socket.gaierror, UnicodeError):  # the latter: names that can't be encoded
            raise UnreachableError(f"Unknown host: {host}") from None
        except OSError:
            raise UnreachableError(f"Cannot reach the server at {server}. Is it running?") from None
        except HandshakeError as error:
            raise UnreachableError(f"No safe connection to {server}: {error}") from None

    with closing(Session(server, connect, secrets.token_hex(16))) as session:
        await session.open()
        async with open_terminal() as terminal:
            if reconnect_seconds is None:
                reconnect_seconds = limits.RECONNECT_SECONDS if terminal.interactive else 0
            peering = TlsPeering(
                partial(identity_directory, state_dir, server), peer_port, peer_host
            )
            options = file_options or FileOptions(state_dir / "downloads")
            chat = Chat(
                terminal,
                session,
                peering,
                server,
                state_dir,
                options,
                reconnect_seconds,
                encrypted=encrypt is not security.clear_text,
            )
            return await chat.run()
