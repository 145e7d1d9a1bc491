"""TLS 1.3 over TCP, behind the same interface: the standard library's `ssl`, in memory.

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
from typing import NoReturn, TypeVar

import trio

from .. import limits
from ..addresses import is_loopback
from .identity import Identity
from .tcp import TcpTransport
from .transport import HandshakeError

_HANDSHAKE_BYTE = b"\x16"
_SLICE_BYTES = 4 * 1024
"""What is decrypted at a time. OpenSSL's memory never shrinks, so a larger piece, once received,
would be held for the life of the connection."""

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

    TLS happens in memory, between one call to the kernel and the next: so one read brings all
    the records that have come, where a socket of `ssl` would read one, with two calls.

    A record need not bring any of the other end's bytes. A key update, for example, brings none,
    and costs more than a message. So it is counted how many bytes were received for nothing
    (`_wasted`, a record that is not whole yet included); a connection with too many is broken.

    Sending: a block is encrypted (`_unsent`), and `_owed` notes how many bytes of the caller's
    are in it. What is encrypted has to go out as it is. So these bytes count as taken when the
    socket has taken the whole block; until then the caller keeps them and hands them in again,
    first in its data (`Transport.send_nowait`), and they are skipped.

    Args:
        plain: is taken over.
        context: of our side.
        server_name: whom a client wants to reach; without it we are the server.
    """

    _block_bytes = 16 * 1024
    """What is handed to the socket at a time."""

    _slice_bytes = 16 * 1024
    """What is encrypted at a time: one record. With less, a fan-out costs half as much again."""

    def __init__(self, plain: TcpTransport, context: ssl.SSLContext, server_name: str | None):
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._wasted = 0
        self._unsent: bytes | memoryview = b""
        self._owed = 0
        self._take_over(plain)

    @property
    def peer_certificate(self) -> bytes:
        """The certificate of the other end (DER); empty if it has shown none."""
        return self._tls.getpeercert(binary_form=True) or b""

    # -- Receiving -----------------------------------------------------------------------------

    def receive_nowait(self) -> bytes | None:
        if self.has_early_input:
            self.has_early_input = False
            return self._decrypt(b"")
        data = super().receive_nowait()
        if not data:
            return data
        if len(data) <= _SLICE_BYTES:  # nearly always
            return self._decrypt(data)
        view, texts = memoryview(data), []
        for start in range(0, len(data), _SLICE_BYTES):
            text = self._decrypt(view[start : start + _SLICE_BYTES])
            if text == b"":
                break
            if text is not None:
                texts.append(text)
        else:
            return b"".join(texts) or None
        return b"".join(texts)

    def _decrypt(self, data: bytes | memoryview) -> bytes | None:
        """What these bytes bring: none if that is nothing yet, empty at the end."""
        incoming, read = self._incoming, self._tls.read
        incoming.write(data)
        text, is_end, records = b"", False, 1
        try:
            text = read(limits.RECEIVE_BYTES_MAX)
            while text and incoming.pending:  # several records, the last one perhaps not whole
                more = read(limits.RECEIVE_BYTES_MAX)
                text += more
                records += 1
                if not more:
                    break
            is_end = not text
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._break(error)
        self._count(len(data), len(text), records if text else 0)
        return text if text or is_end else None

    def _count(self, received: int, brought: int, records: int) -> None:
        """Note how many bytes were received, and what they brought in how many records."""
        wasted = self._wasted + received - brought - records * limits.TLS_RECORD_OVERHEAD_BYTES_MAX
        self._wasted = wasted if wasted > 0 else 0  # content pays for nothing that comes later
        if wasted > limits.TLS_WASTED_BYTES_MAX:
            raise trio.BrokenResourceError("its records bring nothing")

    def _break(self, error: ssl.SSLError) -> NoReturn:
        """The other end does not keep to TLS; it is told why, if nothing else is on its way."""
        if not self._unsent:
            self._unsent = self._outgoing.read()
            self._push()
        raise trio.BrokenResourceError from error

    # -- Sending -------------------------------------------------------------------------------

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        sent = 0
        if self._unsent:
            if not self._push():
                return 0
            sent = self._owed
        size, most = len(data), self._block_bytes
        while sent < size:
            block = data if size <= most and not sent else memoryview(data)[sent : sent + most]
            self._unsent = self._encrypt(block)
            self._owed = len(block)
            if not self._push():
                break
            sent += self._owed
        return sent

    def _encrypt(self, block: bytes | bytearray | memoryview) -> bytes:
        most = self._slice_bytes
        try:
            if len(block) <= most:  # nearly always
                self._tls.write(block)
                return self._outgoing.read()
            view, pieces = memoryview(block), []
            for start in range(0, len(block), most):
                self._tls.write(view[start : start + most])
                pieces.append(self._outgoing.read())
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error
        return b"".join(pieces)

    def _push(self) -> bool:
        """Send what is encrypted; return whether all of it is out."""
        unsent = self._unsent
        taken = super().send_nowait(unsent)
        self._unsent = b"" if taken == len(unsent) else memoryview(unsent)[taken:]
        return not self._unsent

    # -- Beginning -----------------------------------------------------------------------------

    async def shake_hands(self, turns: trio.CapacityLimiter) -> None:
        """The TLS handshake; each step that is computed waits for its turn.

        Raises:
            OSError: if it fails; what `ssl` raises is one too.
            trio.BrokenResourceError: if the other end goes.
        """
        # What comes right behind the handshake is decrypted in one go.
        most, self.receive_bytes_max = self.receive_bytes_max, limits.HANDSHAKE_RECEIVE_BYTES_MAX
        while True:
            try:
                async with turns:
                    self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_outgoing()
                await trio.lowlevel.wait_readable(self._sock)
                data = TcpTransport.receive_nowait(self)
                if data == b"":
                    raise trio.BrokenResourceError from None
                self._incoming.write(data or b"")
            except ssl.SSLError:
                with trio.CancelScope(deadline=-1):  # the alert goes out if it can
                    await self._send_outgoing()
                raise
            else:
                await self._send_outgoing()
                self.has_early_input = self._incoming.pending > 0
                self.receive_bytes_max = most
                return

    async def _send_outgoing(self) -> None:
        self._unsent = self._outgoing.read()
        while self._unsent and not self._push():
            await self.wait_writable()


T = TypeVar("T", bound=TlsTransport)


async def handshake(
    transport: TcpTransport,
    context: ssl.SSLContext,
    *,
    server_name: str | None = None,
    turns: trio.CapacityLimiter | None = None,
) -> TlsTransport:
    """Begin TLS on a connection, as `begin_tls` does."""
    return await begin_tls(TlsTransport, transport, context, server_name, turns)


async def begin_tls(
    kind: type[T],
    transport: TcpTransport,
    context: ssl.SSLContext,
    server_name: str | None,
    turns: trio.CapacityLimiter | None = None,
) -> T:
    """Begin TLS on a connection, which is taken over.

    Args:
        kind: the class of the transport that is returned.
        transport: on which nothing was sent or received yet.
        context: of our side.
        server_name: whom a client wants to reach; without it we are the server.
        turns: so many steps of handshakes are computed before others have their turn.

    Raises:
        HandshakeError: if the two ends don't agree; the connection is closed.
    """
    with ExitStack() as cleanup:
        cleanup.callback(transport.close)
        try:
            secure = kind(transport, context, server_name)
        except OSError as error:  # it has gone
            raise HandshakeError("it has closed the connection") from error
        cleanup.callback(secure.close)
        try:
            with trio.fail_after(limits.HANDSHAKE_SECONDS_MAX):
                await secure.shake_hands(turns or trio.CapacityLimiter(1))
        except ssl.SSLCertVerificationError as error:
            raise HandshakeError(f"its certificate is not valid: {error.verify_message}") from error
        except (OSError, trio.BrokenResourceError) as error:  # what ssl raises is the first, too
            raise HandshakeError("it does not speak TLS 1.3, or broke the handshake off") from error
        except trio.TooSlowError as error:
            raise HandshakeError("it did not finish the TLS handshake in time") from error
        cleanup.pop_all()
        return secure


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
