"""The client from start to end: reach the server, open the terminal, chat.

The server is reached and recognised first, so that nobody types a password for one that is not
there, or not the one that it was. What goes wrong until then is a `FailureError`, with one line
that explains it.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, closing
from functools import partial
from pathlib import Path

import trio

from .. import limits
from ..errors import FailureError, ProtocolViolation
from ..net import tcp
from ..net.tcp import TcpTransport
from ..net.transport import HandshakeError, Transport
from .chat import Chat
from .connection import Connection, ConnectionLost, Refused
from .files.transfers import FileOptions
from .peering import TlsPeering
from .state import identity_directory
from .terminal import Terminal


class UnreachableError(FailureError):
    """There is no such server, or nothing that is one."""


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

    Raises:
        FailureError: if there is no server to chat with.
    """
    server = tcp.format_address(host, port)
    with ExitStack() as cleanup:
        try:
            with trio.fail_after(limits.CONNECT_SECONDS_MAX):
                transport = await encrypt(await tcp.connect(host, port), host, server)
                cleanup.enter_context(closing(transport))
                connection = Connection(transport, secrets.token_hex(16))
                await connection.greet()
        except _UNREACHABLE as error:
            raise UnreachableError(_explain(error, host, server)) from None
        async with open_terminal() as terminal:
            peering = TlsPeering(
                partial(identity_directory, state_dir, server), peer_port, peer_host
            )
            options = file_options or FileOptions(state_dir / "downloads")
            return await Chat(terminal, connection, peering, server, state_dir, options).run()


_UNREACHABLE = (
    OSError,
    UnicodeError,
    trio.TooSlowError,
    ConnectionLost,
    Refused,
    ProtocolViolation,
    HandshakeError,
)


def _explain(error: Exception, host: str, server: str) -> str:
    """One line about an error that is among `_UNREACHABLE`."""
    match error:
        case socket.gaierror() | UnicodeError():  # the latter: names that can't be encoded
            return f"Unknown host: {host}"
        case trio.TooSlowError():
            return f"The server at {server} does not answer"
        case ConnectionLost():
            return f"The server at {server} has closed the connection"
        case Refused():
            return str(error)
        case HandshakeError():
            return f"No safe connection to {server}: {error}"
        case ProtocolViolation():
            return f"What answers at {server} is no trio-chat server"
        case _:
            return f"Cannot reach the server at {server}. Is it running?"
