"""TLS over real sockets on loopback: what goes through, and who is turned away, and why."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.net import tls
from trio_chat.net.identity import Identity, load_or_make
from trio_chat.net.outbox import Outbox
from trio_chat.net.tcp import TcpListener, TcpTransport, connect
from trio_chat.net.tls import Plaintext, TlsAcceptor, TlsTransport, handshake
from trio_chat.net.transport import HandshakeError, Transport

from .certificates import Authority
from .key_updates import send_key_updates
from .test_transport import tcp_pair

HOST = "127.0.0.1"
REFUSAL = b"no clear text here\n"
SECONDS_MAX = 20.0


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return load_or_make(tmp_path / "server", "server")


async def echo(transport: Transport) -> None:
    """Say everything again, without ever waiting for who listens."""
    outbox = Outbox(transport)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        with suppress(trio.BrokenResourceError):
            while data := await transport.receive():
                outbox.send(data)
        outbox.finish()


@asynccontextmanager
async def serving(
    identity: Identity, plaintext: Plaintext = Plaintext.LOOPBACK
) -> AsyncIterator[int]:
    """An echo behind an acceptor; its port."""
    acceptor = TlsAcceptor(tls.server_context(identity), plaintext, REFUSAL)
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            listener = TcpListener(0, HOST, acceptor)
            (address,) = await nursery.start(listener.serve, echo, nursery)
            yield int(address.rpartition(":")[2])
            nursery.cancel_scope.cancel()


async def connect_securely(
    port: int, context: ssl.SSLContext | None = None, name: str = HOST
) -> TlsTransport:
    return await handshake(
        await connect(HOST, port), context or tls.pinning_context(), server_name=name
    )


async def raw_pair() -> tuple[TcpTransport, trio.SocketStream]:
    """Our end of a connection, and the other one for a script."""
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener:
        transport = await connect(HOST, listener.socket.getsockname()[1])
        return transport, await listener.accept()


def reset(stream: trio.SocketStream) -> None:
    """Tear a connection down without a goodbye."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


# -- What goes through ---------------------------------------------------------------------


async def test_the_certificate_of_the_server_is_seen(identity: Identity) -> None:
    async with serving(identity) as port:
        transport = await connect_securely(port)
        assert transport.peer_certificate == identity.certificate
        assert transport.peer == f"{HOST}:{port}"
        transport.close()


async def test_a_connection_is_as_old_as_before_its_handshake(identity: Identity) -> None:
    async with serving(identity) as port:
        plain = await connect(HOST, port)
        connected_at = plain.connected_at
        secure = await handshake(plain, tls.pinning_context(), server_name=HOST)
        assert secure.connected_at == connected_at
        secure.close()


@pytest.mark.parametrize("piece", [1_000, 16_384, 1_000_000])
async def test_megabytes_go_both_ways_without_loss(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    data = os.urandom(8_000_000)
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", len(data))
    async with serving(identity) as port:
        transport = await connect_securely(port)
        outbox = Outbox(transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            for begin in range(0, len(data), piece):
                outbox.send(data[begin : begin + piece])
            received = bytearray()
            while len(received) < len(data):
                chunk = await transport.receive()
                assert chunk
                received += chunk
            outbox.finish()
        assert received == data
        transport.close()


@asynccontextmanager
async def both_ends(identity: Identity) -> AsyncIterator[tuple[TlsTransport, TlsTransport]]:
    """The server's end of a connection, and the client's."""
    stream_ends = await tcp_pair()
    ends: dict[str, TlsTransport] = {}

    async def begin(name: str, plain: Transport, context: ssl.SSLContext) -> None:
        assert isinstance(plain, TcpTransport)
        server_name = HOST if name == "client" else None
        ends[name] = await handshake(plain, context, server_name=server_name)

    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin, "client", stream_ends[0], tls.pinning_context())
            nursery.start_soon(begin, "server", stream_ends[1], tls.server_context(identity))
        yield ends["server"], ends["client"]
    for end in ends.values():
        end.close()


def update_keys(end: TlsTransport, count: int) -> None:
    """Send records that bring the other end nothing."""
    send_key_updates(end._tls, count)
    updates = end._outgoing.read()
    assert TcpTransport.send_nowait(end, updates) == len(updates)


async def test_who_sends_records_without_content_is_cut_off_soon(identity: Identity) -> None:
    async with both_ends(identity) as (server, client):
        update_keys(client, 2_000)
        with pytest.raises(trio.BrokenResourceError):
            await server.receive()
        assert server._wasted < limits.TLS_WASTED_BYTES_MAX + 2 * 4096


async def test_some_key_updates_are_fine_and_content_pays_for_no_more(identity: Identity) -> None:
    async with both_ends(identity) as (server, client):
        for number in range(500):
            update_keys(client, 1)
            client.send_nowait(b"%03d" % number)
            assert await server.receive() == b"%03d" % number
        update_keys(client, 500)
        with pytest.raises(trio.BrokenResourceError):
            await server.receive()


async def test_much_content_gives_no_credit(identity: Identity) -> None:
    async with both_ends(identity) as (server, client):
        for _ in range(2_000):
            client.send_nowait(b"hello")
            await server.receive()
        update_keys(client, 800)
        with pytest.raises(trio.BrokenResourceError):
            await server.receive()


async def test_what_comes_right_behind_a_handshake_is_taken_a_little_at_a_time(
    identity: Identity,
) -> None:
    """A client that has its key updates ready sends them together with its last handshake record."""
    near, far = await tcp_pair()
    assert isinstance(near, TcpTransport)
    assert isinstance(far, TcpTransport)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.pinning_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    servers: list[TlsTransport] = []

    async def serve() -> None:
        servers.append(await handshake(far, tls.server_context(identity)))

    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            while True:
                with suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                    break
                near.send_nowait(outgoing.read())
                incoming.write(await near.receive())
            send_key_updates(client, 500)
            near.send_nowait(outgoing.read())
        (server,) = servers
        assert server.has_early_input
        assert server._incoming.pending <= limits.HANDSHAKE_RECEIVE_BYTES_MAX
    near.close()
    server.close()


async def test_before_login_one_read_takes_little(identity: Identity) -> None:
    async with both_ends(identity) as (server, client):
        server.receive_bytes_max = limits.LOGIN_RECEIVE_BYTES_MAX
        update_keys(client, 100)
        client.send_nowait(b"hello")
        reads = 0
        while (data := server.receive_nowait()) is None:
            reads += 1
            await trio.lowlevel.wait_readable(server._sock)
        assert data == b"hello"
        assert reads == 100 * 27 // limits.LOGIN_RECEIVE_BYTES_MAX


async def test_a_burst_leaves_no_large_buffers_behind(identity: Identity) -> None:
    """OpenSSL's memory never shrinks, so what goes through it at a time has to be small."""
    async with both_ends(identity) as (server, client):
        assert client.send_nowait(b"x" * 64 * 1024) == 64 * 1024
        received = 0

        class Watched:
            """Notes the most that was ever in OpenSSL's memory."""

            def __init__(self, inner: ssl.MemoryBIO) -> None:
                self.inner = inner
                self.most = 0

            @property
            def pending(self) -> int:
                return self.inner.pending

            def write(self, data: bytes) -> int:
                written = self.inner.write(data)
                self.most = max(self.most, self.inner.pending)
                return written

            def read(self) -> bytes:
                self.most = max(self.most, self.inner.pending)
                return self.inner.read()

        incoming, outgoing = Watched(server._incoming), Watched(server._outgoing)
        server._incoming, server._outgoing = incoming, outgoing  # type: ignore[assignment]
        while received < 64 * 1024:
            received += len(await server.receive())
        server.send_nowait(b"y" * 64 * 1024)
        assert 0 < incoming.most <= 4096
        assert 0 < outgoing.most <= 16 * 1024 + 22


async def test_a_connection_that_breaks_lets_its_outbox_end(identity: Identity) -> None:
    async with serving(identity) as port:
        client = await connect(HOST, port)
        transport = await handshake(client, tls.pinning_context(), server_name=HOST)
        outbox = Outbox(transport)
        while outbox.send(b"x" * 1_000_000):
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            outbox.finish()
            await trio.testing.wait_all_tasks_blocked()
            transport.close()


async def test_of_records_that_are_damaged_nothing_is_received(identity: Identity) -> None:
    async with serving(identity) as port:
        transport = await connect_securely(port)
        os.write(transport._sock.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)  # past TLS
        with pytest.raises(trio.BrokenResourceError):
            await transport.receive()
        transport.close()


# -- Handshakes that fail ------------------------------------------------------------------


async def refusal_of(port: int, context: ssl.SSLContext, name: str = HOST) -> str:
    with pytest.raises(HandshakeError) as caught:
        await connect_securely(port, context, name)
    return str(caught.value)


async def test_a_peer_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS_MAX", 0.05)
    transport, other = await raw_pair()
    async with other:
        with pytest.raises(HandshakeError, match="did not finish the TLS handshake in time"):
            await handshake(transport, tls.pinning_context(), server_name=HOST)
        while await other.receive_some():  # up to the end: it was closed
            pass


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n" * 10, b"\x16\x03\x01\xff\xff", b""])
async def test_a_peer_that_talks_something_else(data: bytes) -> None:
    transport, other = await raw_pair()
    await other.send_all(data)
    await other.send_eof()
    with pytest.raises(HandshakeError, match="broke the handshake off"):
        await handshake(transport, tls.pinning_context(), server_name=HOST)
    await other.aclose()


async def test_a_peer_that_has_gone(identity: Identity) -> None:
    for context, name in ((tls.pinning_context(), HOST), (tls.server_context(identity), None)):
        transport, other = await raw_pair()
        reset(other)
        await trio.lowlevel.wait_readable(transport._sock)
        with pytest.raises(HandshakeError, match="broke the handshake off"):
            await handshake(transport, context, server_name=name)


async def test_a_handshake_that_is_cancelled_closes() -> None:
    transport, other = await raw_pair()
    async with other:
        with trio.move_on_after(0.01) as scope:
            await handshake(transport, tls.pinning_context(), server_name=HOST)
        assert scope.cancelled_caught
        while await other.receive_some():
            pass


async def test_older_versions_are_refused(identity: Identity) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(identity) as port:
        assert await refusal_of(port, context) == (
            "it does not speak TLS 1.3, or broke the handshake off"
        )


async def test_what_an_authority_has_signed_is_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    for host in (HOST, "chat.example"):
        async with serving(authority.issue(host)) as port:
            context = tls.authority_context(authority.path)
            (await connect_securely(port, context, host)).close()


async def test_another_authority_or_another_name_is_refused(
    tmp_path: Path, identity: Identity
) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    async with serving(authority.issue("chat.example")) as port:
        text = await refusal_of(port, tls.authority_context(other.path), "chat.example")
        assert text.startswith("its certificate is not valid: ")
        text = await refusal_of(port, tls.authority_context(authority.path), "else.example")
        assert "not valid for 'else.example'" in text
        text = await refusal_of(port, tls.authority_context(authority.path), HOST)
        assert f"not valid for '{HOST}'" in text
    async with serving(identity) as port:
        text = await refusal_of(port, tls.authority_context(authority.path))
        assert text.startswith("its certificate is not valid: self-signed certificate")


def test_authorities_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("missing", "empty"):
        with pytest.raises(OSError):  # noqa: PT011  # any of them
            tls.authority_context(tmp_path / name)


# -- Clear text ----------------------------------------------------------------------------


async def answer_to_clear_text(port: int) -> bytes:
    transport = await connect(HOST, port)
    transport.send_nowait(b'{"t":"hello"}\n')
    answer = await transport.receive()
    transport.close()
    return answer


@pytest.mark.parametrize(
    ("plaintext", "loopback", "answer"),
    [
        (Plaintext.LOOPBACK, True, b'{"t":"hello"}\n'),
        (Plaintext.ALWAYS, True, b'{"t":"hello"}\n'),
        (Plaintext.NEVER, True, REFUSAL),
        (Plaintext.LOOPBACK, False, REFUSAL),
        (Plaintext.ALWAYS, False, b'{"t":"hello"}\n'),
        (Plaintext.NEVER, False, REFUSAL),
    ],
)
async def test_clear_text_is_accepted_from_whom_the_policy_says(
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
    plaintext: Plaintext,
    loopback: bool,
    answer: bytes,
) -> None:
    monkeypatch.setattr(tls, "is_loopback", lambda _: loopback)
    async with serving(identity, plaintext) as port:
        assert await answer_to_clear_text(port) == answer
        transport = await connect_securely(port)
        transport.send_nowait(b"and TLS always")
        assert await transport.receive() == b"and TLS always"
        transport.close()


async def test_after_the_refusal_comes_the_end(identity: Identity) -> None:
    async with serving(identity, Plaintext.NEVER) as port:
        transport = await connect(HOST, port)
        transport.send_nowait(b'{"t":"hello"}\n')
        assert await transport.receive() == REFUSAL
        assert await transport.receive() == b""
        transport.close()


async def test_the_first_byte_decides_even_if_it_comes_alone(identity: Identity) -> None:
    async with serving(identity) as port:
        for data in (b"{", b"\x00", b"\x15"):
            transport = await connect(HOST, port)
            transport.send_nowait(data)
            assert await transport.receive() == data
            transport.close()
        transport = await connect(HOST, port)
        transport.send_nowait(b"\x16")
        transport.send_eof()
        assert b"\x16" not in await transport.receive()
        transport.close()


async def test_whoever_says_nothing_is_dropped(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOGIN_SECONDS_MAX", 0.05)
    async with serving(identity) as port:
        transport = await connect(HOST, port)
        assert await transport.receive() == b""
        transport.close()


async def test_whoever_begins_a_handshake_and_stops_is_dropped(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS_MAX", 0.05)
    async with serving(identity) as port:
        transport = await connect(HOST, port)
        transport.send_nowait(b"\x16\x03\x01")
        assert await transport.receive() == b""
        transport.close()


@pytest.mark.parametrize("data", [b"", b"\x16", b"{", b"\x16\x03\x01\x00\x05hello"])
async def test_whoever_connects_and_drops_disturbs_nobody(identity: Identity, data: bytes) -> None:
    async with serving(identity, Plaintext.NEVER) as port:
        for torn in (True, False):
            for _ in range(5):
                stream = await trio.open_tcp_stream(HOST, port)
                if data:
                    await stream.send_all(data)
                if torn:
                    reset(stream)
                else:
                    await stream.aclose()
        transport = await connect_securely(port)
        transport.send_nowait(b"still there?")
        assert await transport.receive() == b"still there?"
        transport.close()


async def test_many_handshakes_at_once_leave_others_their_turn(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, most = 0, 0
    real = ssl.SSLObject.do_handshake

    def do_handshake(tls: ssl.SSLObject) -> None:
        nonlocal steps
        steps += 1
        real(tls)

    monkeypatch.setattr(ssl.SSLObject, "do_handshake", do_handshake)
    async with serving(identity) as port:
        connections = [socket.create_connection((HOST, port)) for _ in range(100)]
        await wait_all_tasks_blocked(0.1)  # all were accepted
        for connection in connections:
            connection.sendall(b"\x16\x03\x01\x02\x00")  # as a handshake begins
        while steps < len(connections):
            before = steps
            await trio.lowlevel.checkpoint()
            most = max(most, steps - before)
        for connection in connections:
            connection.close()
    # Between two turns of ours all others may have had two.
    assert 0 < most <= 2 * limits.HANDSHAKES_AT_ONCE_MAX
