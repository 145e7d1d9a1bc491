"""TLS between two peers over real sockets: both show a certificate, and know the other's."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from trio_chat.net import identity as identities
from trio_chat.net import tls
from trio_chat.net.identity import Identity, load_or_make
from trio_chat.net.tcp import TcpTransport, connect
from trio_chat.net.tls import TlsTransport, handshake, peer_context
from trio_chat.net.transport import HandshakeError

from .certificates import Authority

HOST = "127.0.0.1"
SECONDS_MAX = 20.0


class Outcome:
    """How a handshake went for its two sides; None is a success."""

    def __init__(self) -> None:
        self.client: HandshakeError | None = None
        self.server: HandshakeError | None = None
        self.heard = b""


async def _meet(
    server: Identity, knows: bytes, client: Identity | None, believes: bytes
) -> Outcome:
    """A client and a server shake hands, each with what it knows of the other; then talk."""
    outcome = Outcome()
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)

    async def answer() -> None:
        stream = await listener.accept()
        transport = TcpTransport(socket.socket(fileno=stream.socket.detach()))
        try:
            secure = await handshake(transport, peer_context(server, knows, server_side=True))
        except HandshakeError as error:
            outcome.server = error
            return
        assert secure.peer_certificate == knows
        secure.send_nowait(b"hi")
        secure.close()

    with trio.fail_after(SECONDS_MAX):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            transport = await connect(HOST, listener.socket.getsockname()[1])
            context = (
                tls.pinning_context()
                if client is None
                else peer_context(client, believes, server_side=False)
            )
            try:
                secure = await handshake(transport, context, server_name="peer")
            except HandshakeError as error:
                outcome.client = error
                return outcome
            outcome.heard = await _hear(secure)
    return outcome


async def _hear(secure: TlsTransport) -> bytes:
    try:
        return await secure.receive()
    except trio.BrokenResourceError:
        return b""
    finally:
        secure.close()


@pytest.fixture
def hans(tmp_path: Path) -> Identity:
    return load_or_make(tmp_path / "hans", "trio-chat client")


@pytest.fixture
def luke(tmp_path: Path) -> Identity:
    return load_or_make(tmp_path / "luke", "trio-chat client")


@pytest.fixture
def vader(tmp_path: Path) -> Identity:
    return load_or_make(tmp_path / "vader", "trio-chat client")


async def test_two_that_know_each_other_talk(hans: Identity, luke: Identity) -> None:
    outcome = await _meet(luke, hans.certificate, hans, luke.certificate)
    assert outcome.client is outcome.server is None
    assert outcome.heard == b"hi"


async def test_another_client_is_refused(hans: Identity, luke: Identity, vader: Identity) -> None:
    outcome = await _meet(luke, hans.certificate, vader, luke.certificate)
    assert "its certificate is not valid" in str(outcome.server)
    assert outcome.heard == b""


async def test_a_client_without_a_certificate_is_refused(hans: Identity, luke: Identity) -> None:
    outcome = await _meet(luke, hans.certificate, None, b"")
    assert outcome.server is not None
    assert outcome.heard == b""


async def test_another_server_is_refused(hans: Identity, luke: Identity, vader: Identity) -> None:
    outcome = await _meet(vader, hans.certificate, hans, luke.certificate)
    assert "its certificate is not valid" in str(outcome.client)
    assert outcome.server is not None


async def test_a_certificate_of_an_authority_is_not_enough_for_a_stranger(
    tmp_path: Path, hans: Identity, luke: Identity
) -> None:
    outcome = await _meet(
        luke, hans.certificate, Authority(tmp_path / "ca").issue("peer"), luke.certificate
    )
    assert outcome.server is not None
    assert outcome.heard == b""


@pytest.mark.parametrize("days", [-30 * 365, 30 * 365])
async def test_clocks_do_not_matter(
    tmp_path: Path, luke: Identity, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # all that is used
            return datetime.now(UTC) + timedelta(days=days)

    monkeypatch.setattr(identities, "datetime", Clock)
    lost_in_time = load_or_make(tmp_path / "hans", "trio-chat client")
    outcome = await _meet(luke, lost_in_time.certificate, lost_in_time, luke.certificate)
    assert outcome.heard == b"hi"
    outcome = await _meet(lost_in_time, luke.certificate, luke, lost_in_time.certificate)
    assert outcome.heard == b"hi"


@pytest.mark.parametrize("certificate", [b"", b"garbage", b"\x30\x82\x01\x00" + b"\x00" * 256])
@pytest.mark.parametrize("server_side", [False, True])
def test_what_is_no_certificate_is_refused(
    hans: Identity, certificate: bytes, server_side: bool
) -> None:
    with pytest.raises(HandshakeError, match="what it calls its certificate is none"):
        peer_context(hans, certificate, server_side=server_side)
