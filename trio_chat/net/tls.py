"""TLS 1.3 over TCP, behind the same interface: the standard library's `ssl`, not blocking.

A send still needs neither a task nor a checkpoint, which `trio.SSLStream` can't offer; so
encryption costs little more than its arithmetic.

The listening side tells TLS from clear text by the first byte that comes, which in TLS is
always 22 and in JSON never. Who may talk in clear text is its `Plaintext` policy.
"""

from __future__ import annotations

import ssl
from contextlib import ExitStack, suppress
from enum import Enum
from pathlib import Path

import trio

from .. import limits
from ..addresses import is_loopback
from .identity import Identity
from .tcp import TcpTransport
from .transport import HandshakeError

_HANDSHAKE_BYTE = b"\x16"
_RECORD_BYTES = 16 * 1024
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, for which `ssl` has no name."""


class Plaintext(Enum):
    """From whom clear text is accepted."""

    NEVER = "never"
    LOOPBACK = "loopback"
    ALWAYS = "always"


def server_context(identity: Identity) -> ssl.SSLContext:
    """What a server presents.

    Raises:
        IdentityError: if its key and certificate can't be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # sessions are resumed by a token of our own
    identity.load_into(context)
    return context


def pinning_context() -> ssl.SSLContext:
    """For a client that judges the server's certificate by its fingerprint, afterwards."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def authority_context(authorities: Path) -> ssl.SSLContext:
    """For a client that trusts what these authorities (PEM) have signed.

    Raises:
        OSError: if the file can't be read, or holds no certificate.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authorities)
    return context


def peer_context(
    identity: Identity, peer_certificate: bytes, *, server_side: bool
) -> ssl.SSLContext:
    """For a connection between two peers that know each other's certificates; TLS in both ways.

    The handshake fails unless the other end has the key of exactly this certificate.

    Args:
        identity: of our side.
        peer_certificate: of the other one (DER).
        server_side: whether ours is the one that was connected to.

    Raises:
        HandshakeError: if the other one's certificate can't be used.
        IdentityError: if our own can't be.
    """
    if server_side:
        context = _context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
    else:
        context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # its name is that of the introduction
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= _NO_CHECK_TIME  # clocks differ, and nobody vouches for a time
    try:
        context.load_verify_locations(cadata=peer_certificate)
    except (ssl.SSLError, ValueError) as error:  # the latter: there is none
        raise HandshakeError("what it calls its certificate is none") from error
    identity.load_into(context)
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The end of a connection is TCP's here, and means nothing by itself: what was not
    # answered was not said. So one direction may end while the other goes on.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


class TlsTransport(TcpTransport):
    """A connection after its handshake; made by `handshake`.

    Receiving needs no more than `TcpTransport` does: one call returns at most one record and
    takes it whole, so nothing stays behind in the TLS layer that waiting for the socket would
    not see.
    """

    _sock: ssl.SSLSocket

    @property
    def peer_certificate(self) -> bytes:
        """The certificate of the other end (DER); empty if it has shown none."""
        return self._sock.getpeercert(binary_form=True) or b""

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        # Record by record, as OpenSSL tells of a longer piece only when all of it is out.
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            taken = super().send_nowait(view[sent : sent + _RECORD_BYTES])
            if taken == 0:
                break
            sent += taken
        return sent


async def handshake(
    transport: TcpTransport,
    context: ssl.SSLContext,
    *,
    server_name: str | None = None,
    turns: trio.CapacityLimiter | None = None,
) -> TlsTransport:
    """Begin TLS on a connection, which is taken over.

    Args:
        transport: on which nothing was sent or received yet.
        context: of our side.
        server_name: whom a client wants to reach; without it we are the server.
        turns: so many steps of handshakes are computed before others have their turn.

    Raises:
        HandshakeError: if the two ends don't agree; the connection is closed.
    """
    with ExitStack() as cleanup:
        plain = cleanup.enter_context(transport.detach())
        try:
            plain.getpeername()  # `ssl` does not close a socket whose other end has gone
            sock = cleanup.enter_context(
                context.wrap_socket(
                    plain,
                    server_side=server_name is None,
                    server_hostname=server_name,
                    do_handshake_on_connect=False,
                )
            )
            with trio.fail_after(limits.HANDSHAKE_SECONDS_MAX):
                await _shake_hands(sock, turns or trio.CapacityLimiter(1))
            secure = TlsTransport(sock)
        except ssl.SSLCertVerificationError as error:
            raise HandshakeError(f"its certificate is not valid: {error.verify_message}") from error
        except OSError as error:  # what ssl raises is one too
            raise HandshakeError("it does not speak TLS 1.3, or broke the handshake off") from error
        except trio.TooSlowError as error:
            raise HandshakeError("it did not finish the TLS handshake in time") from error
        cleanup.pop_all()
        return secure


async def _shake_hands(sock: ssl.SSLSocket, turns: trio.CapacityLimiter) -> None:
    while True:
        try:
            async with turns:
                sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return


class TlsAcceptor:
    """Makes TLS of a new connection, or lets it be clear text where that is allowed.

    Attributes:
        context: may be replaced, for a new certificate; what is connected stays.

    Args:
        context: see above.
        plaintext: from whom clear text is accepted.
        refusal: what to tell the others before their connection is closed.
    """

    def __init__(self, context: ssl.SSLContext, plaintext: Plaintext, refusal: bytes) -> None:
        self.context = context
        self._plaintext = plaintext
        self._refusal = refusal
        self._turns = trio.CapacityLimiter(limits.HANDSHAKES_AT_ONCE_MAX)

    async def __call__(self, transport: TcpTransport) -> TcpTransport:
        """Wait for the first byte, and act on it.

        Raises:
            HandshakeError: if there is no agreement; the connection is closed.
        """
        with suppress(trio.BrokenResourceError), trio.move_on_after(limits.LOGIN_SECONDS_MAX):
            first = await transport.peek()
            if first == _HANDSHAKE_BYTE:
                return await handshake(transport, self.context, turns=self._turns)
            if self._allows(transport.peer_host):
                return transport
            # What came is taken, as closing would otherwise reset the connection, and the
            # refusal might be lost.
            await transport.receive()
            transport.send_nowait(self._refusal)
        transport.close()
        raise HandshakeError("it sent clear text, or nothing")

    def _allows(self, host: str) -> bool:
        if self._plaintext is Plaintext.LOOPBACK:
            return is_loopback(host)
        return self._plaintext is Plaintext.ALWAYS
