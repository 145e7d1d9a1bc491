"""The server as a whole: start, many clients at once, graceful stop, crash."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.core.beginning import Restored, Settings
from trio_chat.core.effects import Commit
from trio_chat.errors import ErrorCode
from trio_chat.net.memory import MemoryListener
from trio_chat.net.transport import Handler, Listener, ListenError
from trio_chat.protocol import messages as wire
from trio_chat.server.accounts import Accounts
from trio_chat.server.app import serve
from trio_chat.storage.memory import MemoryStore
from trio_chat.storage.store import StoreError

from .harness import CREDENTIALS, NAMES, SETTINGS, Chat, GatedStore, pause, running_chat


async def test_five_hundred_connect_at_once_and_those_who_log_in_hear_each_other(
    autojump_clock: MockClock, chat: Chat
) -> None:
    users = [name for name in NAMES if name.startswith("user")]
    heard: list[str] = []

    async def take_part(user: str) -> None:
        client = await chat.login(user)
        assert (await client.expect(wire.Announcement)).text == "Anybody there?"
        await client.ok(wire.Message, to="hans", text=user)

    hans = await chat.login("hans")
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(take_part, user)
            nursery.start_soon(chat.greeted)
            nursery.start_soon(chat.connect)
        for _ in users:
            await hans.expect(wire.Presence)
        await hans.request(wire.Broadcast, text="Anybody there?")
        for _ in users:
            delivery = await hans.expect(wire.Delivery)
            heard.append(delivery.text)
            await hans.acknowledge(delivery.seq)
    assert sorted(heard) == sorted(users)


# -- Graceful stop -------------------------------------------------------------------------------


async def test_a_stop_is_told_to_everybody_logged_in_or_not(
    autojump_clock: MockClock, chat: Chat
) -> None:
    clients = [await chat.login("hans"), await chat.login("yoda")]
    clients += [await chat.greeted(), await chat.connect()]
    await clients[0].expect(wire.Presence)
    chat.begin_stop()
    for client in clients:
        assert await client.last_words() == [
            wire.Closed(ErrorCode.STOPPING, "The server is shutting down")
        ]
    await chat.stopped()


async def test_a_stop_takes_no_time_when_everybody_goes(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    before = trio.current_time()
    chat.begin_stop()
    await hans.last_words()
    await chat.stopped()
    assert trio.current_time() == before


async def test_a_stop_saves_what_its_receiver_has_not_acknowledged(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    await hans.begin(wire.Message, to="yoda", text="on its way")
    delivery = await yoda.expect(wire.Delivery)
    await chat.stop()
    await chat.start()
    assert await (await chat.login("yoda")).expect(wire.Delivery) == delivery


async def test_a_stop_ends_in_time_though_a_client_reads_nothing(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, _ = await chat.login("hans"), await chat.login("yoda")
    for _ in range(50):
        await hans.ok(wire.Message, to="yoda", text="x" * limits.TEXT_BYTES_MAX)
    await chat.stop()
    await chat.start()
    yoda = await chat.login("yoda")
    for _ in range(50):
        await yoda.acknowledge((await yoda.expect(wire.Delivery)).seq)


async def test_a_stop_ends_in_time_though_a_client_never_stops_sending(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")

    async def send_for_ever() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await hans.send(wire.Active())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_for_ever)
        chat.begin_stop()
        begun = trio.current_time()
        while chat.running:
            # While something is sent all the time, no time passes by itself.
            await trio.lowlevel.checkpoint()
            autojump_clock.jump(0.01)
        assert trio.current_time() - begun < limits.STOP_SECONDS_MAX + 0.1


async def test_a_stop_ends_in_time_though_the_disk_hangs(
    autojump_clock: MockClock, store: GatedStore
) -> None:
    async with running_chat(store, debug=True) as chat:
        hans = await chat.login("hans")
        store.shut()
        await hans.begin(wire.Message, to="yoda", text="hello")
        await pause(1)
        before = trio.current_time()
        await chat.stop()
        assert trio.current_time() - before == limits.STOP_SECONDS_MAX
        assert chat.log[-1] == "stopped before everything was saved"


async def test_a_stop_waits_for_a_slow_disk(autojump_clock: MockClock, store: GatedStore) -> None:
    async with running_chat(store, debug=True) as chat:
        hans = await chat.login("hans")
        store.shut()
        await hans.begin(wire.Message, to="yoda", text="hello")
        await pause(1)
        chat.begin_stop()
        await pause(limits.STOP_SECONDS_MAX - 1)
        store.open()
        await chat.stopped()
        assert chat.log[-1] == "stopped"
        await chat.start()
        assert await (await chat.login("yoda")).text() == "hello"


async def test_a_stop_ends_in_time_though_the_store_fails(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    hans = await chat.login("hans")
    store.failure = "the disk is gone"
    await hans.begin(wire.Message, to="yoda", text="hello")
    await chat.stop()
    assert not chat.running


@pytest.mark.parametrize("turns", range(6))
async def test_who_connects_just_when_the_server_stops_is_let_go(
    autojump_clock: MockClock, chat: Chat, turns: int
) -> None:
    client = await chat.connect()
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    chat.begin_stop()
    for message in await client.last_words():
        assert message == wire.Closed(ErrorCode.STOPPING, "The server is shutting down")
    await chat.stopped()


# -- What ends it otherwise ----------------------------------------------------------------------


class DeafListener:
    """A listener whose port is taken."""

    async def serve(
        self,
        handler: Handler,
        handler_nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await trio.lowlevel.checkpoint()
        raise ListenError("port 4000 is in use")


class UnreadableStore(MemoryStore):
    async def restore(self) -> Restored:
        await trio.lowlevel.checkpoint()
        raise StoreError("the database is malformed")


class BrokenStore(MemoryStore):
    """A store with a bug."""

    async def commit(self, commit: Commit) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("listener", "store", "error"),
    [
        (DeafListener(), MemoryStore(), ListenError),
        (MemoryListener(), UnreadableStore(), StoreError),
    ],
)
async def test_what_keeps_the_server_from_starting_is_raised(
    autojump_clock: MockClock, listener: Listener, store: MemoryStore, error: type[Exception]
) -> None:
    with pytest.RaisesGroup(error, flatten_subgroups=True, allow_unwrapped=True):
        await serve(
            listener, store, Accounts(CREDENTIALS), SETTINGS, stop=trio.Event(), alarm=print
        )


async def test_a_bug_ends_the_server_instead_of_letting_it_go_on_without_a_part(
    autojump_clock: MockClock,
) -> None:
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with running_chat(BrokenStore()) as chat:
            hans = await chat.login("hans")
            await hans.begin(wire.Message, to="yoda", text="hello")
            await hans.last_words()


# -- The debug log -------------------------------------------------------------------------------


async def test_the_log_tells_a_connection_from_its_beginning_to_the_end_without_secrets(
    autojump_clock: MockClock,
) -> None:
    async with running_chat(settings=Settings(60, 300), debug=True) as chat:
        hans = await chat.login("hans")
        await hans.ok(wire.Message, to="yoda", text="between\nus")
        await hans.request(wire.Broadcast, text="among\nus")
        await hans.log_out()
        yoda = await chat.login("yoda")
        assert await yoda.text() == "between\nus"
        await yoda.log_out()
        await chat.stop()
        log = chat.log
    assert log[0] == "listening on memory"
    assert log[1] == "session 1.1 connected from client 1"
    assert "stopping" in log
    assert log[-1] == "stopped"
    assert "session 1.1 > login id=1 user='hans' password=(hidden)" in log
    assert "hans > message id=2 to='yoda' text=(10 characters)" in log
    assert "hans < ok id=2 waiting=0" in log
    everything = "".join(log)
    for secret in ("secret-hans", "secret-yoda", "between", "among", "\n"):
        assert secret not in everything
