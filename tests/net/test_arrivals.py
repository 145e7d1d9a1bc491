"""What comes over many transports reaches one task, whatever the transports are."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from trio_chat.net import arrivals as module
from trio_chat.net.arrivals import Arrivals
from trio_chat.net.memory import memory_pair
from trio_chat.net.tcp import TcpTransport
from trio_chat.net.transport import Transport

from .test_transport import tcp_pair, tls_pair

SECONDS_MAX = 10


class Bench:
    """An owner whose transport is watched, and its other end."""

    def __init__(self, theirs: Transport, ours: Transport) -> None:
        self.theirs, self.ours = theirs, ours
        self.arrivals: Arrivals[str] = Arrivals()

    async def taken(self) -> list[bytes]:
        """What comes next."""
        with trio.fail_after(SECONDS_MAX):
            while True:
                await self.arrivals.wait(trio.current_time() + SECONDS_MAX)
                if found := list(self.arrivals.take()):
                    assert {owner for owner, _ in found} == {"owner"}
                    return [data for _, data in found]


@pytest.fixture(params=["memory", "tcp", "tls", "without epoll"])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    ends: tuple[Transport, Transport]
    match request.param:
        case "memory":
            ends = memory_pair()
        case "tls":
            ends = await tls_pair(tmp_path)
        case kind:
            ends = await tcp_pair()
            monkeypatch.setattr(module, "HAS_EPOLL", kind == "tcp")
    bench = Bench(*ends)
    yield bench
    for end in ends:
        end.close()
    bench.arrivals.close()


async def test_what_comes_is_taken_and_then_the_end(bench: Bench) -> None:
    async with bench.arrivals.watching(bench.ours, "owner"):
        bench.theirs.send_nowait(b"hello")
        assert await bench.taken() == [b"hello"]
        assert list(bench.arrivals.take()) == []
        bench.theirs.send_nowait(b"again")
        assert await bench.taken() == [b"again"]
        bench.theirs.close()
        assert await bench.taken() == [b""]
        await trio.testing.wait_all_tasks_blocked()
        assert list(bench.arrivals.take()) == [], "the end comes once"


async def test_a_pause_holds_back_what_comes(bench: Bench) -> None:
    async with bench.arrivals.watching(bench.ours, "owner"):
        bench.theirs.send_nowait(b"one")
        await bench.arrivals.wait(trio.current_time() + SECONDS_MAX)
        for _ in bench.arrivals.take():
            bench.arrivals.pause(0.05)
        before = trio.current_time()
        bench.theirs.send_nowait(b"two")
        await trio.testing.wait_all_tasks_blocked()
        assert list(bench.arrivals.take()) == []
        assert await bench.taken() == [b"two"]
        assert trio.current_time() - before >= 0.04


async def test_nothing_is_taken_after_the_block(bench: Bench) -> None:
    async with bench.arrivals.watching(bench.ours, "owner"):
        pass
    bench.theirs.send_nowait(b"late")
    await trio.testing.wait_all_tasks_blocked()
    assert list(bench.arrivals.take()) == []


async def test_whoever_waits_can_be_woken_also_before(bench: Bench) -> None:
    with trio.fail_after(SECONDS_MAX):
        bench.arrivals.wake()
        await bench.arrivals.wait(float("inf"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.arrivals.wait, float("inf"))
            await trio.testing.wait_all_tasks_blocked()
            bench.arrivals.wake()


async def test_whoever_waits_does_so_until_it_is_time(bench: Bench) -> None:
    with trio.fail_after(SECONDS_MAX):
        await bench.arrivals.wait(trio.current_time() + 0.01)


async def test_nobody_lingers_for_sockets_that_are_not_there() -> None:
    """A simulation has none, and its time is its own."""
    arrivals: Arrivals[str] = Arrivals()
    arrivals.close()  # so that to wait there would be an error
    assert list(arrivals.take(SECONDS_MAX)) == []


async def test_a_connection_that_breaks_has_come_to_its_end(bench: Bench) -> None:
    if isinstance(bench.theirs, TcpTransport):
        bench.theirs._sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )  # a reset instead of a goodbye
    async with bench.arrivals.watching(bench.ours, "owner"):
        bench.theirs.close()
        assert await bench.taken() == [b""]


async def test_what_came_with_the_handshake_is_not_forgotten(tmp_path: Path) -> None:
    theirs, ours = await tls_pair(tmp_path)
    assert isinstance(ours, TcpTransport)
    bench = Bench(theirs, ours)
    theirs.send_nowait(b"early")
    await trio.lowlevel.wait_readable(ours._sock)
    ours._incoming.write(ours._sock.recv(1000))  # type: ignore[attr-defined]
    ours.has_early_input = True
    async with bench.arrivals.watching(ours, "owner"):
        assert await bench.taken() == [b"early"]
    theirs.close()
    ours.close()
    bench.arrivals.close()
