"""Real connections over loopback: listening, connecting, and their ends."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import trio
from trio import _highlevel_socket
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat.net import crowd, tcp
from trio_chat.net.crowd import Crowd
from trio_chat.net.tcp import TcpListener, TcpTransport, _accept, connect, format_address
from trio_chat.net.transport import HandshakeError, ListenError, Transport


async def echo(transport: Transport) -> None:
    while data := await transport.receive():
        assert transport.send_nowait(data) == len(data)


async def never_secure(transport: TcpTransport) -> TcpTransport:
    await trio.sleep_forever()
    return transport


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@asynccontextmanager
async def serving(host: str | None, port: int = 0) -> AsyncIterator[list[str]]:
    """A server that says everything again, for as long as the context lasts."""
    async with trio.open_nursery() as nursery:
        listener = TcpListener(port, host)
        addresses: list[str] = await nursery.start(listener.serve, echo, nursery)
        yield addresses
        nursery.cancel_scope.cancel()


async def refusal(port: int, host: str | None) -> str:
    """Why it is not possible to listen there."""
    with pytest.raises(ListenError) as caught:
        await TcpListener(port, host).serve(echo, None)  # type: ignore[arg-type]  # not reached
    return str(caught.value)


async def ask(host: str, port: int, question: bytes) -> bytes:
    transport = await connect(host, port)
    transport.send_nowait(question)
    answer = await transport.receive()
    transport.close()
    return answer


@pytest.mark.parametrize(
    ("host", "begins"), [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:"), ("localhost", "")]
)
async def test_a_server_listens_where_it_is_told_to(host: str, begins: str) -> None:
    async with serving(host) as addresses:
        assert addresses[0].startswith(begins)
        assert await ask(host, port_of(addresses[0]), b"hello") == b"hello"


async def test_without_a_host_it_listens_on_all_of_the_machine() -> None:
    async with serving(None) as addresses:
        assert {address.rpartition(":")[0] for address in addresses} == {"0.0.0.0", "[::]"}
        for address in addresses:
            host = "127.0.0.1" if address.startswith("0") else "::1"
            assert await ask(host, port_of(address), b"hello") == b"hello"


async def test_the_port_that_the_system_picks_is_one_for_all_addresses() -> None:
    for _ in range(5):
        async with serving(None) as addresses:
            assert len(addresses) == 2
            assert len({port_of(address) for address in addresses}) == 1


async def test_a_port_that_is_free_for_one_kind_of_address_only_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's first choice for IPv4 is taken for IPv6; the next one will do."""
    opened = trio.open_tcp_listeners
    asked: list[int] = []
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 0))
        taken.listen()

        async def open_listeners(port: int, **options: object) -> list[trio.SocketListener]:
            asked.append(port)
            if asked == [0]:
                (first,) = await opened(taken.getsockname()[1], host="0.0.0.0")
                return [first, *await opened(0, host="::")]
            return await opened(port, **options)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(trio, "open_tcp_listeners", open_listeners)
        async with serving(None) as addresses:
            assert asked[:3] == [0, taken.getsockname()[1], 0]
            assert len({port_of(address) for address in addresses}) == 1
            assert port_of(addresses[0]) != taken.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "seen"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::ffff:127.0.0.1", None)]
)
async def test_addresses_are_those_that_others_can_use(host: str, seen: str | None) -> None:
    """An IPv4 client of an IPv6 socket has an IPv4 address."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as client:
            client.connect((host, port))
            transport = TcpTransport(server.accept()[0])
    assert transport.peer_host == transport.local_host == (seen or "127.0.0.1")
    transport.close()


async def test_the_first_bytes_are_taken_without_what_follows() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = await connect(*server.getsockname())
        right = server.accept()[0]
    right.sendall(b"tick")
    async with trio.open_nursery() as nursery:

        async def more() -> None:
            await wait_all_tasks_blocked()
            right.sendall(b"et and more")

        nursery.start_soon(more)
        assert await transport.receive_exactly(6) == b"ticket"
    assert await transport.receive_exactly(4) == b" and"
    right.close()
    assert await transport.receive_exactly(99) == b" more"
    transport.close()


async def test_a_server_for_one_address_cannot_be_reached_by_another() -> None:
    async with serving("127.0.0.1") as addresses:
        with pytest.raises(OSError, match="::1"):
            await connect("::1", port_of(addresses[0]))


async def test_a_port_in_use_is_an_error() -> None:
    async with serving("127.0.0.1") as addresses:
        port = port_of(addresses[0])
        assert await refusal(port, "127.0.0.1") == (
            f"port {port} of 127.0.0.1 is in use; stop what uses it, or give another port"
        )


async def test_an_unknown_host_is_an_error() -> None:
    text = await refusal(4000, "no-such-host.invalid")
    assert text.startswith("cannot listen on port 4000 of no-such-host.invalid: ")
    assert "\n" not in text


async def test_what_cannot_be_a_host_is_an_error() -> None:
    host = "x" * 64 + ".example"
    assert await refusal(4000, host) == (
        f"cannot listen on port 4000 of {host}: that cannot be the name of a host"
    )


async def test_where_ipv6_is_turned_off_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    open_listeners = trio.open_tcp_listeners

    async def without_ipv6(
        port: int, *, host: str | None, backlog: int
    ) -> list[trio.SocketListener]:
        if host is None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return await open_listeners(port, host=host, backlog=backlog)

    monkeypatch.setattr(trio, "open_tcp_listeners", without_ipv6)
    async with serving(None) as addresses:
        assert [address.rpartition(":")[0] for address in addresses] == ["0.0.0.0"]
        assert await ask("127.0.0.1", port_of(addresses[0]), b"hello") == b"hello"


async def test_an_address_of_another_machine_is_an_error() -> None:
    assert (await refusal(4000, "192.0.2.1")).startswith("cannot listen on port 4000 of 192.0.2.1")


async def broken_pair() -> TcpTransport:
    """A transport whose other end has been torn down without a goodbye."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        transport = await connect("127.0.0.1", listener.socket.getsockname()[1])
        other = await listener.accept()
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await other.aclose()
    await trio.lowlevel.wait_readable(transport._sock)
    return transport


async def test_a_connection_that_was_reset_is_broken_for_who_receives() -> None:
    transport = await broken_pair()
    with pytest.raises(trio.BrokenResourceError):
        await transport.receive()
    transport.close()


async def test_a_connection_that_was_reset_is_broken_for_who_sends() -> None:
    transport = await broken_pair()
    await transport.wait_writable()
    with pytest.raises(trio.BrokenResourceError):
        transport.send_nowait(b"hello")
    with pytest.raises(trio.BrokenResourceError):
        transport.send_eof()
    transport.close()


async def test_a_connection_that_was_gone_before_it_was_accepted_has_no_address() -> None:
    transport = TcpTransport(socket.socket())
    assert transport.peer == "unknown address"
    transport.close()


async def test_connections_of_one_address_over_the_limit_are_refused_silent_ones_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowd, "is_loopback", lambda _: False)
    async with trio.open_nursery() as nursery:
        listener = TcpListener(0, "127.0.0.1", never_secure, Crowd(2, b"too many\n"))
        (address,) = await nursery.start(listener.serve, echo, nursery)
        port = port_of(address)
        silent = [await connect("127.0.0.1", port) for _ in range(2)]
        refused = await connect("127.0.0.1", port)
        assert await refused.receive() == b"too many\n"
        assert await refused.receive() == b""
        refused.close()
        for transport in silent:
            transport.close()
        nursery.cancel_scope.cancel()


async def test_who_finds_no_place_waits_and_is_not_accepted() -> None:
    places = trio.Semaphore(2)
    accepted: list[socket.socket] = []
    told: list[int] = []

    async def handle(sock: socket.socket) -> None:
        accepted.append(sock)

    def full() -> None:
        told.append(len(accepted))

    listening = socket.create_server(("127.0.0.1", 0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_accept, listening, handle, nursery, places, full)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        await wait_all_tasks_blocked(0.01)
        assert len(accepted) == 2
        assert len(told) == 1
        places.release()
        await wait_all_tasks_blocked(0.01)
        assert len(accepted) == 3
        places.release()
        await wait_all_tasks_blocked(0.01)
        assert places.value == 1, "none is kept for who is not there"
        nursery.cancel_scope.cancel()
    for sock in [*clients, *accepted]:
        sock.close()


async def test_a_place_is_free_again_after_every_end_of_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was gone before, one that is refused, and those that are served, of both kinds."""
    notice = tcp._notice_dead_peers
    reset, refused = [True], [True]

    def notice_unless_reset(sock: socket.socket) -> None:
        if reset and sock.getsockname()[1] == listener.port:
            reset.clear()
            raise OSError(errno.EINVAL, "Invalid argument")  # as BSDs say
        notice(sock)

    async def secure(transport: TcpTransport) -> TcpTransport:
        if refused:
            refused.clear()
            raise HandshakeError("not you")
        return transport

    monkeypatch.setattr(tcp, "_notice_dead_peers", notice_unless_reset)
    async with trio.open_nursery() as nursery:
        listener = TcpListener(0, None, secure, connections_max=1)
        addresses: list[str] = await nursery.start(listener.serve, echo, nursery)
        with trio.fail_after(20):
            for _ in range(2):
                assert await ask("127.0.0.1", listener.port, b"") == b""
            assert not reset
            assert not refused
            for address in [*addresses, *addresses]:
                host = "127.0.0.1" if address.startswith("0") else "::1"
                assert await ask(host, listener.port, b"hello") == b"hello"
        nursery.cancel_scope.cancel()


async def test_a_peer_is_known_by_its_plain_address() -> None:
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with listener:
        client = await connect("127.0.0.1", listener.getsockname()[1])
        transport = TcpTransport(listener.accept()[0])
    assert transport.peer.startswith("[::ffff:127.0.0.1]:")
    assert transport.peer_host == "127.0.0.1"
    transport.close()
    client.close()


async def test_dead_peers_are_noticed_within_15_seconds() -> None:
    transport = TcpTransport(socket.socket())
    option = transport._sock.getsockopt
    assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, count, timeout = (
        option(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    )
    assert idle + interval * count <= 15
    assert timeout <= 15_000
    transport.close()


def test_addresses_are_written_as_people_do() -> None:
    assert format_address("127.0.0.1", 4000) == "127.0.0.1:4000"
    assert format_address("::1", 4000) == "[::1]:4000"


class Refusing(socket.socket):
    """Listens, and has trouble with the first who come."""

    faults: ClassVar[list[int]] = []

    def accept(self) -> tuple[socket.socket, object]:
        if self.faults:
            raise OSError(self.faults.pop(0), "trouble")
        return super().accept()


async def test_who_comes_while_there_is_no_room_is_accepted_later(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_others = [errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EHOSTUNREACH]
    monkeypatch.setattr(Refusing, "faults", [errno.EMFILE, *of_others])
    accepted = trio.Event()
    places = trio.Semaphore(2)

    async def handle(sock: socket.socket) -> None:
        sock.close()
        accepted.set()

    listening = Refusing()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    with socket.create_connection(listening.getsockname()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept, listening, handle, nursery, places, lambda: None)
            await accepted.wait()
            nursery.cancel_scope.cancel()
    assert Refusing.faults == []
    assert places.value == 1, "those who were not accepted have none"


def test_whose_faults_are_no_reason_to_end_is_what_trio_says() -> None:
    assert _highlevel_socket._ignorable_accept_errnos == tcp._ONLY_THIS_ONE


async def test_a_socket_that_cannot_accept_at_all_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Refusing, "faults", [errno.EINVAL])

    async def handle(sock: socket.socket) -> None:
        raise AssertionError("nobody was accepted")

    listening = Refusing()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    with socket.create_connection(listening.getsockname()):
        async with trio.open_nursery() as nursery:
            with pytest.raises(OSError, match="trouble"):
                await _accept(listening, handle, nursery, trio.Semaphore(1), lambda: None)


async def test_whether_a_port_is_free_is_seen_without_letting_anybody_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that connected meanwhile would be cut off."""

    def fail(*_: object) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr(socket.socket, "listen", fail)
    await TcpListener(0).check()
    await TcpListener(0, "127.0.0.1").check()
    monkeypatch.undo()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", None):
            with pytest.raises(ListenError, match="is in use"):
                await TcpListener(port, host).check()
