"""Who gets a direct connection, and who does not: real keys, real sockets on loopback."""

from __future__ import annotations

import secrets
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.net.certificates import Authority
from tests.proxy import RecordingProxy
from trio_chat import limits
from trio_chat.client.link import Link
from trio_chat.client.peering import Tickets, TlsPeering
from trio_chat.errors import FailureError
from trio_chat.net import tcp, tls
from trio_chat.net.identity import IdentityError
from trio_chat.net.transport import BulkTransport, HandshakeError, Transport
from trio_chat.protocol import messages as wire

HOST = "127.0.0.1"
SECONDS_MAX = 20.0
SOON_SECONDS = 1.0


def _ticket() -> str:
    return secrets.token_hex(16)


class Host:
    """A user with a key of their own, who welcomes whoever gets through by saying hi.

    Attributes:
        welcomed: who got through, by the names in their introductions.
    """

    def __init__(self, directory: Path, user: str, port: int = 0) -> None:
        self.user = user
        self.directory = directory / user
        self.peering = TlsPeering(lambda _: self.directory, port, HOST)
        self.listening: wire.Listening
        self.welcomed: list[str] = []

    async def serve(self, nursery: trio.Nursery, connections: trio.Nursery) -> None:
        self.listening = await nursery.start(
            self.peering.serve, self.user, self._welcome, connections
        )

    async def _welcome(self, transport: BulkTransport, introduced: wire.Introduced) -> None:
        self.welcomed.append(introduced.user)
        transport.send_nowait(b"hi " + introduced.user.encode())
        while await transport.receive():
            pass

    def introduction(self, **changes: object) -> wire.Introduction:
        """What the server tells others of this one."""
        port, certificate = self.listening.port, self.listening.certificate
        fields: dict[str, object] = {"address": HOST, "port": port, "certificate": certificate}
        return wire.Introduction(id=1, seconds=30, **{**fields, **changes})  # type: ignore[arg-type]  # some are wrong on purpose

    def expects(self, other: Host, ticket: str, seconds: float = 30) -> None:
        """The server introduces the other one."""
        certificate = other.listening.certificate
        self.peering.expect(wire.Introduced(other.user, certificate, ticket, seconds))


@asynccontextmanager
async def hosts(directory: Path, *users: str) -> AsyncGenerator[list[Host], None]:
    """They all listen; in the end no task of theirs is left, and no open socket."""
    everybody = [Host(directory, user) for user in users]
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as connections:  # which end by themselves
                for host in everybody:
                    await host.serve(nursery, connections)
                yield everybody
            nursery.cancel_scope.cancel()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has much patience."""
    monkeypatch.setattr(limits, "PEER_CONNECT_SECONDS_MAX", SOON_SECONDS)


async def _hear(transport: Transport) -> bytes:
    """What comes first; nothing if the connection is closed, however."""
    try:
        return await transport.receive()
    except trio.BrokenResourceError:
        return b""
    finally:
        transport.close()


async def _is_refused(host: Host, visitor: Host, ticket: str) -> bool:
    """Whether a visitor who keeps to the protocol gets nothing."""
    try:
        transport = await visitor.peering.dial(host.introduction(), ticket)
    except HandshakeError:
        return True
    return await _hear(transport) == b""


async def _is_welcome(host: Host, visitor: Host, ticket: str) -> bool:
    transport = await visitor.peering.dial(host.introduction(), ticket)
    return await _hear(transport) == b"hi " + visitor.user.encode()


# -- Who was introduced ----------------------------------------------------------------------


async def test_whoever_was_introduced_gets_through(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket)
        assert await _is_welcome(luke, hans, ticket)
        assert luke.welcomed == ["hans"]


async def test_they_may_come_before_we_hear_of_it(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans), trio.open_nursery() as nursery:
        ticket = _ticket()

        async def visit() -> None:
            assert await _is_welcome(luke, hans, ticket)

        nursery.start_soon(visit)
        await wait_all_tasks_blocked(0.05)
        luke.expects(hans, _ticket())  # somebody else's does not help
        await wait_all_tasks_blocked(0.05)
        assert luke.welcomed == []
        luke.expects(hans, ticket)


async def test_a_key_is_made_once(tmp_path: Path) -> None:
    certificates = set()
    for _ in range(2):
        async with hosts(tmp_path, "luke") as (luke,):
            certificates.add(luke.listening.certificate)
    assert len(certificates) == 1


async def test_a_name_comes_from_the_introduction_and_from_nobody_else(tmp_path: Path) -> None:
    """A peer can't say who they are: the lines between peers have no place for it."""
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        shown: list[str] = []

        async def show(user: str, text: str) -> None:
            shown.append(f"{user}: {text}")

        async def welcome(transport: Transport, introduced: wire.Introduced) -> None:
            link = Link(introduced.user, transport, show)
            await link.greet(first=False)
            await link.run()

        luke._welcome = welcome  # type: ignore[method-assign]  # instead of saying hi
        async with trio.open_nursery() as nursery:
            luke.peering = TlsPeering(lambda _: luke.directory, 0, HOST)
            await luke.serve(nursery, nursery)
            ticket = _ticket()
            luke.expects(hans, ticket)
            transport = await hans.peering.dial(luke.introduction(), ticket)
            transport.send_nowait(
                b'{"type":"hello","version":1,"user":"yoda","name":"yoda"}\n'
                b'{"type":"private","id":1,"text":"it is me","user":"yoda","from":"yoda"}\n'
                b'{"type":"bye"}\n'
            )
            while await transport.receive():
                pass
            transport.close()
            nursery.cancel_scope.cancel()
        assert shown == ["hans: it is me"]


# -- Who was not -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: luke's machine\r\n\r\n",
        b"0" * 32 + b"\n",
        b"0" * 32 + b"\n" + b"\x16\x03\x01" + b"\x00" * 500,
        b"\x16\x03\x01\x02\x00" + b"\x01" * 500,
        b"\xff" * 33,
    ],
    ids=["silence", "HTTP", "unknown ticket", "unknown ticket and more", "TLS at once", "garbage"],
)
@pytest.mark.parametrize("closes", [False, True])
async def test_a_stranger_gets_nothing(
    tmp_path: Path, soon: None, line: bytes, closes: bool
) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        luke.expects(hans, _ticket())
        stranger = await trio.open_tcp_stream(HOST, luke.listening.port)
        async with stranger:
            with suppress(trio.BrokenResourceError):  # it may be refused at any moment
                await stranger.send_all(line)
                if closes:
                    await stranger.send_eof()
                assert await stranger.receive_some() == b""
        assert luke.welcomed == []


async def test_what_is_no_ticket_is_not_waited_for(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke") as (luke,):
        before = trio.current_time()
        for line in (b"0" * 31 + b"g\n", b"0" * 33, b""):
            async with await trio.open_tcp_stream(HOST, luke.listening.port) as stranger:
                await stranger.send_all(line)
                await stranger.send_eof()
                assert await stranger.receive_some() == b""
        assert trio.current_time() - before < limits.PEER_CONNECT_SECONDS_MAX / 2


async def test_a_client_without_an_introduction_is_refused(tmp_path: Path, soon: None) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        assert await _is_refused(luke, hans, _ticket())
        assert luke.welcomed == []


async def test_a_stolen_ticket_without_the_key_is_refused_and_stays_good(
    tmp_path: Path, soon: None
) -> None:
    async with hosts(tmp_path, "luke", "hans", "vader") as (luke, hans, vader):
        ticket = _ticket()
        luke.expects(hans, ticket)
        assert await _is_refused(luke, vader, ticket)
        stream = await tcp.connect(HOST, luke.listening.port)
        stream.send_nowait(ticket.encode() + b"\n")
        secure = await tls.handshake(stream, tls.pinning_context(), server_name="peer")
        assert await _hear(secure) == b"", "with no certificate at all"
        luke.expects(vader, ticket)  # nor does vader get it by asking for the same
        assert await _is_refused(luke, vader, ticket)
        assert luke.welcomed == []
        assert await _is_welcome(luke, hans, ticket)


async def test_a_ticket_is_good_once(tmp_path: Path, soon: None) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket)
        assert await _is_welcome(luke, hans, ticket)
        assert await _is_refused(luke, hans, ticket)
        assert luke.welcomed == ["hans"]


async def test_of_two_that_show_a_ticket_at_the_same_time_one_gets_through(
    tmp_path: Path, soon: None
) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket)
        refused: list[bool] = []

        async def visit() -> None:
            refused.append(await _is_refused(luke, hans, ticket))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(visit)
        assert sorted(refused) == [False, True, True, True, True]
        assert luke.welcomed == ["hans"]


async def test_an_introduction_that_has_expired_is_refused(tmp_path: Path, soon: None) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket, seconds=0)
        assert await _is_refused(luke, hans, ticket)
        assert luke.welcomed == []


async def test_it_may_expire_during_the_handshake(tmp_path: Path, soon: None) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket, seconds=0.1)
        stream = await tcp.connect(HOST, luke.listening.port)
        stream.send_nowait(ticket.encode() + b"\n")
        await trio.sleep(0.15)
        assert hans.peering._identity is not None
        certificate = luke.listening.certificate
        context = tls.peer_context(hans.peering._identity, certificate, server_side=False)
        secure = await tls.handshake(stream, context, server_name="peer")
        assert await _hear(secure) == b""
        assert luke.welcomed == []


# -- Whom we reach ---------------------------------------------------------------------------


async def test_whoever_has_taken_the_place_of_a_peer_is_not_talked_to(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke", "hans", "vader") as (luke, hans, vader):
        ticket = _ticket()
        vader.expects(hans, ticket)
        with pytest.raises(HandshakeError, match="its certificate is not valid"):
            await hans.peering.dial(luke.introduction(port=vader.listening.port), ticket)
        assert vader.welcomed == []


@pytest.mark.parametrize("address", ["", "luke.example", "a\0b", "x" * 300, "1.2.3"])
async def test_what_is_no_address_is_not_looked_up(tmp_path: Path, address: str) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        introduction = msgspec.structs.replace(luke.introduction(), address=address)
        with pytest.raises(HandshakeError, match="the server does not give its address"):
            await hans.peering.dial(introduction, _ticket())


async def test_a_certificate_that_is_none_is_told_of(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        with pytest.raises(HandshakeError, match="what it calls its certificate is none"):
            await hans.peering.dial(luke.introduction(certificate=b"garbage"), _ticket())
        ticket = _ticket()
        luke.peering.expect(wire.Introduced("hans", b"garbage", ticket, 30))
        assert await _is_refused(luke, hans, ticket)


async def test_a_certificate_signed_by_that_of_a_peer_is_not_the_peers(tmp_path: Path) -> None:
    """What TLS accepts is one thing; here it has to be this very certificate."""
    authority = Authority(tmp_path / "luke")
    authority.issue("peer")  # which luke presents now
    peers = ssl.PEM_cert_to_DER_cert(authority.path.read_text())
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket)
        with pytest.raises(HandshakeError, match="it shows another certificate"):
            await hans.peering.dial(luke.introduction(certificate=peers), ticket)
        ticket = _ticket()
        hans.peering.expect(wire.Introduced("luke", peers, ticket, 30))
        assert await _is_refused(hans, luke, ticket)
        assert hans.welcomed == []


async def test_a_peer_that_is_gone_or_hangs_up(tmp_path: Path) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
        with pytest.raises(OSError, match="connect"):
            await hans.peering.dial(luke.introduction(port=port), _ticket())
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        port = listener.socket.getsockname()[1]
        async with listener, trio.open_nursery() as nursery:

            async def hang_up() -> None:
                await (await listener.accept()).aclose()

            nursery.start_soon(hang_up)
            with pytest.raises(HandshakeError):
                await hans.peering.dial(luke.introduction(port=port), _ticket())


# -- Our own side ----------------------------------------------------------------------------


async def test_a_key_that_is_removed_ends_nothing_but_new_connections(
    tmp_path: Path, soon: None
) -> None:
    async with hosts(tmp_path, "luke", "hans") as (luke, hans):
        ticket = _ticket()
        luke.expects(hans, ticket)
        shutil.move(luke.directory, tmp_path / "elsewhere")
        assert await _is_refused(luke, hans, ticket)
        with pytest.raises(IdentityError, match="cannot read"):
            await luke.peering.dial(hans.introduction(), _ticket())
        shutil.move(tmp_path / "elsewhere", luke.directory)
        assert await _is_welcome(luke, hans, ticket)


@pytest.mark.parametrize("problem", ["port", "directory"])
async def test_why_nobody_can_reach_us_is_told_in_one_line(tmp_path: Path, problem: str) -> None:
    async with hosts(tmp_path, "luke") as (luke,):
        if problem == "port":
            host = Host(tmp_path, "hans", luke.listening.port)
            reason = f"port {luke.listening.port} of {HOST} is in use"
        else:
            (tmp_path / "file").write_text("")
            host = Host(tmp_path / "file", "hans")
            reason = "cannot write to"
        async with trio.open_nursery() as nursery:
            with pytest.raises(FailureError, match=reason):
                await host.serve(nursery, nursery)


@pytest.mark.parametrize("stopping", ["hans", "luke", "both"])
async def test_a_goodbye_loses_nothing_over_tls_either(tmp_path: Path, stopping: str) -> None:
    shown: dict[str, list[str]] = {"hans": [], "luke": []}
    links: dict[str, Link] = {}
    ready = trio.Event()

    async def show_hans(_: str, text: str) -> None:
        shown["hans"].append(text)

    async def show_luke(_: str, text: str) -> None:
        shown["luke"].append(text)

    async def run_luke(transport: Transport, introduced: wire.Introduced) -> None:
        links["luke"] = link = Link(introduced.user, transport, show_luke)
        await link.greet(first=False)
        ready.set()
        await link.run()

    async def run_hans(transport: Transport) -> None:
        await links["hans"].run()
        transport.close()

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as connections:  # which end by themselves
            hans, luke = Host(tmp_path, "hans"), Host(tmp_path, "luke")
            luke._welcome = run_luke  # type: ignore[method-assign]  # instead of saying hi
            for host in (hans, luke):
                await host.serve(nursery, connections)
            ticket = _ticket()
            luke.expects(hans, ticket)
            transport = await hans.peering.dial(luke.introduction(), ticket)
            links["hans"] = Link("luke", transport, show_hans)
            await links["hans"].greet(first=True)
            await ready.wait()
            async with trio.open_nursery() as talk:
                talk.start_soon(run_hans, transport)
                for number in range(100):
                    await links["hans"].send(f"{number}")
                    await links["luke"].send(f"{number}")
                for user in links:
                    if stopping in (user, "both"):
                        links[user].stop()
        nursery.cancel_scope.cancel()
    assert shown["hans"] == shown["luke"] == [f"{number}" for number in range(100)]
    assert links["hans"].unanswered == links["luke"].unanswered == 0


async def test_nothing_that_is_said_can_be_read_on_the_wire(tmp_path: Path) -> None:
    with RecordingProxy(0) as proxy:
        async with hosts(tmp_path, "luke", "hans") as (luke, hans):
            proxy.target_port = luke.listening.port
            ticket = _ticket()
            luke.expects(hans, ticket)
            transport = await hans.peering.dial(luke.introduction(port=proxy.port), ticket)
            transport.send_nowait(b"the plans")
            assert await _hear(transport) == b"hi hans"
        assert proxy.seen.startswith(ticket.encode() + b"\n\x16\x03"), "a ticket and a handshake"
        assert b"hans" not in proxy.seen
        assert b"the plans" not in proxy.seen
        certificate = ssl.DER_cert_to_PEM_cert(hans.listening.certificate)
        assert hans.listening.certificate not in proxy.seen, certificate


# -- Tickets ---------------------------------------------------------------------------------


async def test_the_oldest_of_too_many_introductions_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    tickets = Tickets()
    names = [f"{number:032x}" for number in range(limits.INTRODUCTIONS_EXPECTED_MAX + 1)]
    for name in names:
        tickets.add(wire.Introduced("hans", b"", name, 30))
    assert not tickets.take(names[0])
    assert tickets.take(names[1])
    assert not tickets.take(names[1])
    assert (await tickets.find(names[-1])).ticket == names[-1]
    await trio.sleep(30)
    assert not tickets.take(names[-1])


async def test_strangers_who_say_nothing_keep_no_friend_out(tmp_path: Path) -> None:
    async with hosts(tmp_path, "yoda", "luke") as (yoda, luke):
        strangers = [
            socket.create_connection((HOST, yoda.listening.port))
            for _ in range(2 * limits.PEER_CONNECTIONS_MAX)
        ]
        ticket = _ticket()
        yoda.expects(luke, ticket)
        transport = await luke.peering.dial(yoda.introduction(), ticket)
        assert await _hear(transport) == b"hi luke"
        for stranger in strangers:
            stranger.close()


async def test_one_friend_can_not_take_the_places_of_all(tmp_path: Path) -> None:
    async with hosts(tmp_path, "yoda", "vader", "luke") as (yoda, vader, luke):
        kept = []
        for _ in range(limits.PEER_LINKS_USER_MAX + 1):
            ticket = _ticket()
            yoda.expects(vader, ticket)
            kept.append(await vader.peering.dial(yoda.introduction(), ticket))
        *heard, last = [await transport.receive() for transport in kept]
        assert (set(heard), last) == ({b"hi vader"}, b"")
        ticket = _ticket()
        yoda.expects(luke, ticket)
        assert await _hear(await luke.peering.dial(yoda.introduction(), ticket)) == b"hi luke"
        for transport in kept:
            transport.close()


async def test_introductions_expire_however_long_the_server_wants_them_kept(
    autojump_clock: MockClock,
) -> None:
    tickets = Tickets()
    tickets.add(wire.Introduced("hans", b"", _ticket(), 1e9))
    await trio.sleep(limits.INTRODUCTION_SECONDS + 1)
    tickets.add(wire.Introduced("luke", b"", _ticket(), 30))
    assert [each.introduced.user for each in tickets._expected.values()] == ["luke"]
