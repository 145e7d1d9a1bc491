"""The right server, and no other: whom a client talks to, and what it says before it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.net.certificates import Authority
from trio_chat.client import app
from trio_chat.client.known_hosts import HostChangedError, KnownHosts
from trio_chat.client.security import Authorities, Fingerprints
from trio_chat.client.session import UnreachableError
from trio_chat.errors import FailureError
from trio_chat.net import tls
from trio_chat.net.identity import Identity, load_or_make
from trio_chat.net.tcp import TcpListener
from trio_chat.net.transport import Transport

from .scripted import SECONDS_MAX, ScriptedTerminal

HOST = "127.0.0.1"


class Place:
    """An address at which one server or another may be found.

    Attributes:
        acceptor: who they are.
        received: what clients have said there once the connection was safe.
    """

    def __init__(self, identity: Identity) -> None:
        self.acceptor = tls.TlsAcceptor(tls.server_context(identity), tls.Plaintext.NEVER, b"")
        self.received: list[bytes] = []
        self.port = 0
        self._served = trio.Semaphore(0)

    async def handle(self, transport: Transport) -> None:
        try:
            while data := await transport.receive():
                self.received.append(data)
                transport.send_nowait(data)
        except trio.BrokenResourceError:
            pass
        finally:
            self._served.release()

    async def served(self) -> None:
        """Wait for the end of one connection more."""
        await self._served.acquire()


@asynccontextmanager
async def open_place(identity: Identity) -> AsyncIterator[Place]:
    place = Place(identity)
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            listener = TcpListener(0, HOST, place.acceptor)
            (address,) = await nursery.start(listener.serve, place.handle, nursery)
            place.port = int(address.rpartition(":")[2])
            yield place
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _no_terminal() -> AsyncIterator[ScriptedTerminal]:
    yield pytest.fail("nobody should be asked for a password")


async def _refusal(place: Place, encrypt: app.Encrypt, directory: Path) -> FailureError:
    """Why a client does not talk to whoever is there."""
    with pytest.raises(FailureError) as caught:
        await app.run(HOST, place.port, _no_terminal, directory, encrypt)
    return caught.value


async def test_the_first_contact_is_told_once(tmp_path: Path) -> None:
    identity = load_or_make(tmp_path / "server", "server")
    told: list[str] = []
    encrypt = Fingerprints(KnownHosts(tmp_path / "known_hosts"), told.append)
    async with open_place(identity) as place:
        for _ in range(3):
            # What answers is an echo, so the client goes no further than its greeting.
            error = await _refusal(place, encrypt, tmp_path)
            assert str(error) == f"What answers at {HOST}:{place.port} is no trio-chat server"
        (line,) = told
        assert f"{HOST}:{place.port}" in line
        assert identity.fingerprint in line


async def test_a_changed_server_learns_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    encrypt = Fingerprints(KnownHosts(tmp_path / "known_hosts"), told.append)
    async with open_place(load_or_make(tmp_path / "server", "server")) as place:
        await _refusal(place, encrypt, tmp_path)
        await place.served()
        assert place.received
        place.received.clear()
        told.clear()
        other = load_or_make(tmp_path / "other", "server")
        place.acceptor.context = tls.server_context(other)
        error = await _refusal(place, encrypt, tmp_path)
        assert isinstance(error, HostChangedError)
        assert other.fingerprint in str(error)
        await place.served()
        assert place.received == []
        assert told == []


async def test_a_server_whose_file_cannot_be_read_learns_nothing(tmp_path: Path) -> None:
    async with open_place(load_or_make(tmp_path / "server", "server")) as place:
        error = await _refusal(place, Fingerprints(KnownHosts(tmp_path), print), tmp_path)
        assert str(error) == f"Cannot read {tmp_path}: Is a directory"
        await place.served()
        assert place.received == []


async def test_an_authority_vouches_for_a_name(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    async with open_place(authority.issue(HOST)) as place:
        right = Authorities(tls.authority_context(authority.path))
        error = await _refusal(place, right, tmp_path)
        assert str(error) == f"What answers at {HOST}:{place.port} is no trio-chat server"
        await place.served()
        place.received.clear()

        wrong = Authorities(tls.authority_context(other.path))
        error = await _refusal(place, wrong, tmp_path)
        assert str(error).startswith(
            f"No safe connection to {HOST}:{place.port}: its certificate is not valid: "
        )
        place.acceptor.context = tls.server_context(authority.issue("chat.example"))
        error = await _refusal(place, right, tmp_path)
        assert f"not valid for '{HOST}'" in str(error)
        assert place.received == []


async def test_a_server_without_encryption_is_explained(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b'{"t":"error"}\n')

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host=HOST))
        port = listener.socket.getsockname()[1]
        encrypt = Fingerprints(KnownHosts(tmp_path / "known_hosts"), print)
        with pytest.raises(UnreachableError, match="it does not speak TLS"):
            await app.run(HOST, port, _no_terminal, tmp_path, encrypt)
        nursery.cancel_scope.cancel()
    assert not (tmp_path / "known_hosts").exists()
