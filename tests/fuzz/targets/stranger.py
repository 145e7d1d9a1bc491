"""Bytes of strangers where TLS begins: at a client's port for others, and at the server's.

And the way out: whatever a server says of another client, dialling fails in the way that it may.
"""

from __future__ import annotations

import socket
from contextlib import closing
from typing import NoReturn
from unittest.mock import patch

import msgspec
import trio

from tests.fuzz.forgery import TICKETS, forge
from tests.fuzz.reader import Reader
from tests.fuzz.stage import Stage, play
from trio_chat.addresses import plain_address
from trio_chat.client.peering import TlsPeering
from trio_chat.net import tcp, tls
from trio_chat.net.identity import load_or_make
from trio_chat.net.tcp import TcpTransport
from trio_chat.net.transport import HandshakeError
from trio_chat.protocol import messages as wire

STAGE = Stage()
IDENTITY = load_or_make(STAGE.path / "identity", "somebody")
REFUSAL = b"no\n"

_introduction = msgspec.json.Decoder(wire.Introduction)


def one_input(data: bytes) -> None:
    reader = Reader(data)
    match reader.below(3):
        case 0:
            play(lambda: _come_to_client(reader))
        case 1:
            play(lambda: _come_to_server(reader))
        case 2:
            play(lambda: _dial(reader))


def _peering() -> TlsPeering:
    peering = TlsPeering(lambda user: STAGE.path)
    peering._identity = IDENTITY
    return peering


async def _come_to_client(reader: Reader) -> None:
    peering = _peering()
    certificate = reader.pick((IDENTITY.certificate, b"", b"\x30\x82", reader.some()))
    peering.expect(wire.Introduced("hans", certificate, TICKETS[0], 30))
    beginning = reader.pick((TICKETS[0].encode() + b"\n", TICKETS[1].encode() + b"\n", b""))
    transport = _connected(beginning + reader.rest())
    with closing(transport):
        try:
            await peering._accept(transport)
        except HandshakeError as error:
            assert str(error)
        else:
            raise AssertionError("a stranger was let in")


async def _come_to_server(reader: Reader) -> None:
    policy = reader.pick(tuple(tls.Plaintext))
    acceptor = tls.TlsAcceptor(tls.server_context(IDENTITY), policy, REFUSAL)
    data = reader.rest()
    transport = _connected(data)
    with closing(transport):
        try:
            accepted = await acceptor(transport)
        except HandshakeError:
            return
    assert policy is not tls.Plaintext.NEVER and not data.startswith(b"\x16")
    accepted.close()


def _connected(data: bytes) -> TcpTransport:
    """A connection over which these bytes have come, and the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    other.sendall(data)
    other.close()
    return TcpTransport(ours)


async def _dial(reader: Reader) -> None:
    async def refuse(host: str, port: int) -> NoReturn:
        await trio.lowlevel.checkpoint()
        plain_address(host)  # nothing else may be looked up: a name would go to other servers
        assert 0 < port < 65536
        raise ConnectionRefusedError

    try:
        usual = {"certificate": msgspec.to_builtins(IDENTITY.certificate)}
        introduction = _introduction.decode(forge(reader, wire.Introduction, usual))
    except msgspec.ValidationError:
        return
    with patch.object(tcp, "connect", refuse):
        try:
            await _peering().dial(introduction, TICKETS[0])
        except (OSError, HandshakeError) as error:
            assert str(error) or isinstance(error, OSError)
        else:
            raise AssertionError("nobody was there")
