"""How many connections each address may have."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from trio_chat.net.crowd import Crowd
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.net.transport import HandshakeError

REFUSAL = b"too many\n"


def connection_from(host: str) -> tuple[MemoryTransport, MemoryTransport]:
    client, server = memory_pair()
    server.peer_host = host
    return client, server


async def expect_refusal(crowd: Crowd, host: str) -> None:
    client, server = connection_from(host)
    with pytest.raises(HandshakeError, match="too many connections"), crowd.place_for(server):
        pytest.fail("it got in")
    assert await client.receive() == REFUSAL
    assert await client.receive() == b""
    client.close()


def enter(stack: ExitStack, crowd: Crowd, host: str) -> None:
    stack.enter_context(crowd.place_for(connection_from(host)[1]))


async def test_an_address_has_so_many_places_and_each_comes_free_again() -> None:
    crowd = Crowd(2, REFUSAL)
    with ExitStack() as first:
        enter(first, crowd, "192.0.2.1")
        with ExitStack() as second:
            enter(second, crowd, "192.0.2.1")
            await expect_refusal(crowd, "192.0.2.1")
            enter(second, crowd, "192.0.2.2")
        enter(first, crowd, "192.0.2.1")
        await expect_refusal(crowd, "192.0.2.1")
    assert not crowd._counts, "addresses without connections are forgotten"


async def test_a_network_of_ipv6_counts_as_one_address() -> None:
    crowd = Crowd(1, REFUSAL)
    with ExitStack() as stack:
        enter(stack, crowd, "2001:db8::1")
        await expect_refusal(crowd, "2001:db8::2")
        enter(stack, crowd, "2001:db8:0:1::1")


def test_a_place_comes_free_when_what_used_it_fails() -> None:
    crowd = Crowd(1, REFUSAL)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), crowd.place_for(connection_from("192.0.2.1")[1]):
            raise ZeroDivisionError


@pytest.mark.parametrize(("each_max", "host"), [(1, "127.0.0.1"), (1, "::1"), (0, "192.0.2.1")])
def test_this_machine_has_as_many_as_it_wants_and_without_a_limit_everybody(
    each_max: int, host: str
) -> None:
    crowd = Crowd(each_max, REFUSAL)
    with ExitStack() as stack:
        for _ in range(10):
            enter(stack, crowd, host)


async def test_who_has_gone_by_then_is_refused_as_well() -> None:
    crowd = Crowd(1, REFUSAL)
    with ExitStack() as stack:
        enter(stack, crowd, "192.0.2.1")
        client, server = connection_from("192.0.2.1")
        client.close()
        with pytest.raises(HandshakeError), crowd.place_for(server):
            pytest.fail("it got in")
