"""Who may be connected to a client: nobody can take the places of all others."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.visitors import Visitors
from trio_chat.net.memory import memory_pair
from trio_chat.net.transport import HandshakeError, Transport
from trio_chat.protocol.messages import Introduced, Purpose


def transport(address: str) -> Transport:
    connection, _ = memory_pair()
    connection.peer_host = address
    return connection


def introduced(user: str, purpose: Purpose = "files") -> Introduced:
    return Introduced(user, b"", "0" * 32, 30, purpose)


async def test_a_stranger_makes_room_for_the_next_of_the_same_address() -> None:
    visitors, gone = Visitors(), list[int]()

    async def wait(number: int, address: str) -> None:
        try:
            with visitors.stranger(transport(address)):
                await trio.sleep_forever()
        except HandshakeError:
            gone.append(number)

    most = limits.PEER_STRANGERS_ADDRESS_MAX
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, -1, "10.0.0.1")
        for number in range(most + 3):
            nursery.start_soon(wait, number, "10.0.0.2")
            await wait_all_tasks_blocked()
        assert gone == [0, 1, 2]
        nursery.cancel_scope.cancel()


async def test_of_very_many_addresses_the_oldest_stranger_makes_room() -> None:
    visitors, gone = Visitors(), list[int]()

    async def wait(number: int) -> None:
        try:
            with visitors.stranger(transport(f"10.0.0.{number}")):
                await trio.sleep_forever()
        except HandshakeError:
            gone.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(limits.PEER_STRANGERS_MAX + 2):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        assert gone == [0, 1]
        with visitors.stranger(transport("10.0.1.1")):
            pass
        nursery.cancel_scope.cancel()


def test_a_user_has_a_few_places_and_those_for_links_and_files_are_apart() -> None:
    visitors = Visitors()
    with ExitStack() as places:
        for _ in range(limits.PEER_FETCHERS_USER_MAX):
            places.enter_context(visitors.guest(introduced("vader")))
        with pytest.raises(HandshakeError, match="too many"):
            places.enter_context(visitors.guest(introduced("vader")))
        places.enter_context(visitors.guest(introduced("vader", "private")))
        places.enter_context(visitors.guest(introduced("luke")))
    assert not visitors._guests


def test_fetchers_leave_room_for_private_messages() -> None:
    visitors = Visitors()
    with ExitStack() as places:
        for number in range(limits.PEER_FETCHERS_MAX):
            places.enter_context(visitors.guest(introduced(f"user{number}")))
        with pytest.raises(HandshakeError):
            places.enter_context(visitors.guest(introduced("luke")))
        places.enter_context(visitors.guest(introduced("luke", "private")))
