"""A connection from an address that this machine has no more is lost at once."""

from __future__ import annotations

import errno
import socket

import pytest
import trio
from trio.testing import MockClock

from trio_chat.client import connection
from trio_chat.client.connection import Connection, ConnectionLost
from trio_chat.net import own_address
from trio_chat.net.own_address import is_ours, wait_until_gone
from trio_chat.net.tcp import TcpTransport

from .test_transport import tcp_pair


def test_which_addresses_are_ours() -> None:
    assert is_ours("127.0.0.1")
    assert not is_ours("192.0.2.1"), "RFC 5737: nobody's"


def test_who_cannot_ask_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", fail)
    assert is_ours("192.0.2.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.0.2.1"])
async def test_loopback_and_what_never_was_ours_do_not_go(
    address: str, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(100):
        await wait_until_gone(address)
    assert trio.current_time() >= 100


async def test_a_client_whose_address_has_gone_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = [True, True, False]
    monkeypatch.setattr(own_address, "is_loopback", lambda _: False)
    monkeypatch.setattr(own_address, "is_ours", lambda _: ours.pop(0))
    monkeypatch.setattr(own_address, "CHECK_SECONDS", 0.01)
    near, far = await tcp_pair()
    assert isinstance(near, TcpTransport)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            client = Connection(near)
            nursery.start_soon(client.run)
            with pytest.raises(ConnectionLost, match=connection.NETWORK_CHANGED):
                await client.receive()
    far.close()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ETIMEDOUT, connection.SILENT),
        (errno.EHOSTUNREACH, connection.UNREACHABLE),
        (errno.ECONNRESET, connection.CLOSED),
    ],
)
async def test_what_the_kernel_has_seen_is_said(
    number: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = await tcp_pair()

    async def fail(_: TcpTransport) -> bytes:
        raise trio.BrokenResourceError from OSError(number, "")

    monkeypatch.setattr(TcpTransport, "receive", fail)
    with pytest.raises(ConnectionLost, match=text):
        await Connection(near).receive()
    near.close()
    far.close()
