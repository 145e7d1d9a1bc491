"""How a client makes sure that it talks to the right server, and that nobody listens.

Three ways: the server is known by its fingerprint, which is the default; an authority vouches
for its name; or neither, in clear text, which servers take from their own machine only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from ..errors import FailureError
from ..net import tls
from ..net.identity import fingerprint
from ..net.tcp import TcpTransport
from ..net.transport import Transport
from .known_hosts import KnownHosts


class Fingerprints:
    """TLS with whom this user has met before, or meets now for the first time.

    Args:
        known_hosts: who was met.
        tell: takes a line for the person about a new server.
    """

    def __init__(self, known_hosts: KnownHosts, tell: Callable[[str], None]) -> None:
        self._known_hosts = known_hosts
        self._tell = tell

    async def __call__(self, transport: TcpTransport, host: str, server: str) -> Transport:
        """Shake hands, then recognise the server.

        Raises:
            HandshakeError: if it does not speak TLS 1.3.
            HostChangedError: if it is not the one that it was.
        """
        secure = await tls.handshake(transport, tls.pinning_context(), server_name=host)
        try:
            notice = self._known_hosts.meet(server, fingerprint(secure.peer_certificate))
        except FailureError:
            secure.close()
            raise
        if notice is not None:
            self._tell(notice)
        return secure


class Authorities:
    """TLS with a server for whose name an authority vouches.

    Args:
        context: made by `tls.authority_context`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    async def __call__(self, transport: TcpTransport, host: str, server: str) -> Transport:
        """Shake hands, and check the certificate.

        Raises:
            HandshakeError: if it is not valid for this host.
        """
        return await tls.handshake(transport, self._context, server_name=host)


async def clear_text(transport: TcpTransport, host: str, server: str) -> Transport:
    """No encryption at all."""
    return transport
