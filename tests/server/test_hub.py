"""The hub: batches in, one flush for each connection out, and nobody waits for the slow."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.net.test_transport import tcp_pair
from trio_chat import limits
from trio_chat.core.beginning import Restored
from trio_chat.core.broker import Broker
from trio_chat.core.commands import Committed, Requests, SessionClosed, SessionOpened, Stop
from trio_chat.core.effects import Commit, LoadMailbox
from trio_chat.errors import ErrorCode
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import LineDecoder, encode_lines, server_message_decoder
from trio_chat.server.accounts import Accounts
from trio_chat.server.connection import Connection
from trio_chat.server.hub import Hub
from trio_chat.server.passwords import check_passwords

from .harness import CREDENTIALS, SETTINGS, password_of


class End:
    """A client's end of a connection whose server's end counts its sends."""

    def __init__(self, client: MemoryTransport, transport: CountingTransport) -> None:
        self.client = client
        self.transport = transport
        self.connection = Connection(0, transport)
        self._decoder: LineDecoder[wire.ServerMessage] = server_message_decoder()

    async def received(self) -> list[wire.ServerMessage]:
        """What has come since, until nothing does."""
        messages: list[wire.ServerMessage] = []
        with trio.move_on_after(2 * limits.NOTICE_DELAY_SECONDS):
            while data := await self.client.receive():
                messages += self._decoder.feed(data)
        return messages


class CountingTransport:
    """Counts what is sent over a transport, which takes only so much."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.peer, self.peer_host, self.local_host = inner.peer, inner.peer_host, inner.local_host
        self.connected_at = inner.connected_at
        self.receive_bytes_max = inner.receive_bytes_max
        self.sends = 0
        self.room = 1024 * 1024
        self._inner = inner

    async def receive(self) -> bytes:
        return await self._inner.receive()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        self.sends += 1
        taken = self._inner.send_nowait(data[: self.room])
        self.room -= taken
        return taken

    async def wait_writable(self) -> None:
        await self._inner.wait_writable()

    def send_eof(self) -> None:
        self._inner.send_eof()

    def close(self) -> None:
        self._inner.close()


class Rig:
    """A hub, with clients that are logged in without any task of their own."""

    def __init__(self, restored: Restored | None = None) -> None:
        broker = Broker(CREDENTIALS.users, SETTINGS, restored or Restored())
        self.hub = Hub(broker, None)
        self._count = 0

    async def connect(self, user: str) -> End:
        self._count += 1
        client, server = memory_pair(1024 * 1024)
        end = End(client, CountingTransport(server))
        end.connection.session = self._count
        self.hub.attach(end.connection)
        await self.hub.submit(
            SessionOpened(self._count, f"pc-{user}", "", "127.0.0.1", "127.0.0.1")
        )
        return end

    async def log_in(self, user: str) -> End:
        end = await self.connect(user)
        await self.say(end, wire.Hello(1), wire.Login(1, user, password_of(user)))
        assert (await end.received())[-1] == wire.Ok(1)
        end.transport.sends = 0
        return end

    async def log_in_at_once(self, user: str) -> None:
        """Log in without any time for notices."""
        end = await self.connect(user)
        await self.say(end, wire.Hello(1), wire.Login(1, user, password_of(user)))
        await trio.testing.wait_all_tasks_blocked()

    async def say(self, end: End, *requests: wire.Request) -> None:
        await self.hub.submit(Requests(end.connection.session, list(requests)))


@pytest.fixture
async def rig(nursery: trio.Nursery) -> AsyncIterator[Rig]:
    rig = Rig()
    nursery.start_soon(rig.hub.run)
    nursery.start_soon(
        check_passwords, rig.hub.password_jobs, Accounts(CREDENTIALS), rig.hub.submit
    )
    yield rig
    nursery.cancel_scope.cancel()


async def test_however_many_commands_wait_each_connection_is_flushed_once(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans, yoda = await rig.log_in("hans"), await rig.log_in("yoda")
    await hans.received()
    hans.transport.sends = 0
    for number in range(2, 202):
        # The queue has room, so none of these gives the hub its turn.
        await rig.say(hans, wire.Broadcast(number, "hello"))
    assert len(await yoda.received()) == 200
    assert len(await hans.received()) == 200
    assert (hans.transport.sends, yoda.transport.sends) == (1, 1)


async def test_between_two_flushes_only_so_many_requests_are_handled(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans = await rig.log_in("hans")
    size = limits.REQUESTS_BATCH_MAX
    for first in range(2, 2 * limits.REQUESTS_ROUND_MAX + 2, size):
        await rig.say(hans, *(wire.WhoElse(number) for number in range(first, first + size)))
    assert len(await hans.received()) == 2 * limits.REQUESTS_ROUND_MAX
    assert hans.transport.sends == 2


async def test_who_hands_in_too_much_has_to_wait_until_the_hub_has_had_its_turn(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans = await rig.log_in("hans")
    for number in range(2, limits.COMMANDS_QUEUE_MAX + 2):
        await rig.say(hans, wire.WhoElse(number))
    assert hans.transport.sends == 0
    await rig.say(hans, wire.WhoElse(limits.COMMANDS_QUEUE_MAX + 2))
    assert hans.transport.sends > 0


async def test_who_does_not_keep_up_is_closed_though_nothing_else_happens(
    autojump_clock: MockClock, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    hans, slow = await rig.log_in("hans"), await rig.log_in("yoda")
    await hans.received()
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 100)
    slow.transport.room = 10
    await rig.say(hans, wire.Broadcast(2, "x" * 200))
    assert await hans.received() == [
        wire.Sent(2, complete=True),
        wire.Presence("yoda", online=False),
    ]


async def test_a_login_is_refused_while_too_many_passwords_wait(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PASSWORD_QUEUE_MAX", 2)
    rig = Rig()
    nursery.start_soon(rig.hub.run)  # and nobody who checks passwords
    for _ in range(2):
        end = await rig.connect("hans")
        await rig.say(end, wire.Hello(1), wire.Login(1, "hans", "guessed"))
        await rig.hub.submit(SessionClosed(end.connection.session))
    last = await rig.connect("yoda")
    await rig.say(last, wire.Hello(1), wire.Login(1, "yoda", password_of("yoda")))
    error = (await last.received())[-1]
    assert isinstance(error, wire.Error)
    assert error.code is ErrorCode.LOGIN_BUSY
    nursery.cancel_scope.cancel()


async def test_a_login_fails_while_too_many_mailboxes_wait_to_be_read_and_commits_have_room(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORE_QUEUE_MAX", 3)
    rig = Rig(Restored(waiting={user: {"vader": (1, 5)} for user in ("hans", "yoda", "luke")}))
    nursery.start_soon(rig.hub.run)  # and a disk that hangs
    nursery.start_soon(
        check_passwords, rig.hub.password_jobs, Accounts(CREDENTIALS), rig.hub.submit
    )
    for user in ("hans", "yoda"):
        await rig.log_in_at_once(user)
    luke = await rig.connect("luke")
    await rig.say(luke, wire.Hello(1), wire.Login(1, "luke", password_of("luke")))
    closed = (await luke.received())[-1]
    assert isinstance(closed, wire.Closed)
    assert closed.code is ErrorCode.MAILBOX_UNREADABLE
    vader = await rig.log_in("vader")
    await rig.say(vader, wire.Message(2, "luke", "hello"))
    await vader.received()
    jobs = [rig.hub.store_jobs.receive_nowait() for _ in range(3)]
    assert [type(job) for job in jobs] == [LoadMailbox, LoadMailbox, Commit]
    nursery.cancel_scope.cancel()


async def test_a_message_to_a_connection_that_is_gone_vanishes(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans, yoda = await rig.log_in("hans"), await rig.log_in("yoda")
    await hans.received()
    rig.hub.detach(yoda.connection)
    await rig.say(yoda, wire.WhoElse(2))
    await rig.say(hans, wire.Broadcast(2, "anybody?"), wire.Message(3, "yoda", "you?"))
    assert await hans.received() == [wire.Sent(2, complete=True)]
    await rig.hub.submit(SessionClosed(yoda.connection.session))
    assert await hans.received() == [wire.Presence("yoda", online=False)]
    assert await yoda.received() == []


async def test_notices_of_many_go_out_together_and_before_what_is_said_later(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans, yoda = await rig.log_in("hans"), await rig.log_in("yoda")
    await hans.received()
    hans.transport.sends = 0
    for user in ("luke", "vader"):
        await rig.log_in_at_once(user)
    assert await hans.received() == [
        wire.Presence("luke", online=True),
        wire.Presence("vader", online=True),
    ]
    assert hans.transport.sends == 1
    await rig.log_in_at_once("r2d2")
    await rig.say(yoda, wire.Broadcast(2, "hello"))
    heard = await hans.received()
    assert [type(message) for message in heard] == [wire.Presence, wire.Announcement]


async def test_of_a_flood_only_a_batch_is_handled_before_others_have_their_turn(
    autojump_clock: MockClock, rig: Rig, nursery: trio.Nursery
) -> None:
    hans, yoda = await rig.log_in("hans"), await rig.log_in("yoda")
    luke = await rig.log_in("luke")
    for end in (hans, yoda):
        nursery.start_soon(end.connection.run, rig.hub.arrivals)
    await luke.received()
    count = 3 * limits.REQUESTS_BATCH_MAX
    flood = [wire.Broadcast(2 + number, "flood") for number in range(count)]
    hans.client.send_nowait(encode_lines(flood))
    yoda.client.send_nowait(encode_lines([wire.Broadcast(2, "calm")]))
    texts = [message.text for message in await luke.received()]  # type: ignore[union-attr]
    assert len(texts) == count + 1
    assert texts.index("calm") <= limits.REQUESTS_BATCH_MAX
    hans.client.close()
    yoda.client.close()


@pytest.mark.parametrize(("count", "sends"), [(1, 1), (limits.REQUESTS_ROUND_MAX, 2)])
async def test_replies_do_not_wait_until_many_empty_lines_of_others_are_read(
    autojump_clock: MockClock,
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    sends: int,
) -> None:
    hans, yoda, luke = [await rig.log_in(name) for name in ("hans", "yoda", "luke")]
    await hans.received()
    hans.transport.sends = 0
    arrived = [
        (hans.connection, encode_lines([wire.WhoElse(2)])),
        (luke.connection, b"\n" * count),
        (yoda.connection, encode_lines([wire.Broadcast(2, "hello")])),
    ]
    takes = [arrived]
    monkeypatch.setattr(
        rig.hub.arrivals, "take", lambda linger_seconds: takes.pop() if takes else []
    )
    rig.hub.arrivals.wake()
    assert len(await hans.received()) == 2
    assert hans.transport.sends == sends


async def test_what_goes_to_all_and_to_one_keeps_its_order(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans, yoda = await rig.log_in("hans"), await rig.log_in("yoda")
    await hans.received()
    await rig.say(
        hans,
        wire.Broadcast(2, "1"),
        wire.Broadcast(3, "2"),
        wire.Message(4, "yoda", "3"),
        wire.Broadcast(5, "4"),
        wire.Broadcast(6, "5"),
    )
    heard = await yoda.received()
    assert [getattr(message, "text", "") for message in heard] == ["1", "2", "3", "4", "5"]


async def test_deadlines_come_without_any_command(autojump_clock: MockClock, rig: Rig) -> None:
    hans = await rig.log_in("hans")
    await trio.sleep(SETTINGS.idle_seconds - 1)
    assert await hans.received() == []
    await trio.sleep(1)
    [closed] = await hans.received()
    assert isinstance(closed, wire.Closed)


async def test_the_store_gets_its_jobs_and_a_stop_waits_for_them(
    autojump_clock: MockClock, rig: Rig
) -> None:
    hans = await rig.log_in("hans")
    await rig.say(hans, wire.Message(2, "yoda", "hello"))
    job = await rig.hub.store_jobs.receive()
    assert isinstance(job, Commit)
    assert [user for user, _ in job.messages] == ["yoda"]
    await rig.hub.submit(Stop())
    await trio.sleep(10)
    assert not rig.hub.stopped.is_set()
    await rig.hub.submit(Committed(job.number))
    await rig.hub.stopped.wait()


async def test_nobody_is_idle_whose_request_came_while_the_server_was_stopped(
    mock_clock: MockClock, rig: Rig
) -> None:
    client, server = await tcp_pair()
    connection = Connection(1, server)
    rig.hub.attach(connection)
    await rig.hub.submit(SessionOpened(1, "pc-hans", "", "127.0.0.1", "127.0.0.1"))
    decoder = server_message_decoder()
    async with rig.hub.arrivals.watching(server, connection):
        login = wire.Login(1, "hans", password_of("hans"))
        client.send_nowait(encode_lines([wire.Hello(1), login]))
        while wire.Ok(1) not in decoder.feed(await client.receive()):
            pass
        client.send_nowait(encode_lines([wire.WhoElse(2)]))
        mock_clock.jump(SETTINGS.idle_seconds + 1)  # nothing runs meanwhile, as after a SIGSTOP
        assert decoder.feed(await client.receive()) == [wire.Users(2, ())]
        mock_clock.jump(SETTINGS.idle_seconds + 1)
        (closed,) = decoder.feed(await client.receive())
        assert isinstance(closed, wire.Closed)
        assert closed.code is ErrorCode.IDLE
    for end in (client, server):
        end.close()
