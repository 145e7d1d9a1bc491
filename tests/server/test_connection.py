"""One connection: what is read becomes commands, what is pending goes out, and how it ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.core.commands import Command, Requests, SessionClosed, SessionFailed
from trio_chat.errors import ErrorCode
from trio_chat.net.arrivals import Arrivals
from trio_chat.net.memory import memory_pair
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines
from trio_chat.server.connection import Connection
from trio_chat.server.pace import Pace

SESSION = 7


async def test_of_much_that_is_pending_whole_lines_are_kept_up_to_the_bound(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 300)
    client, transport = memory_pair(10, ("client", "server"))
    connection = Connection(SESSION, transport)
    small, large = wire.Users(2, ("hans",)), wire.Users(3, ("x" * 400,))
    size = len(encode_lines([small]))
    assert 300 // size * size + 10 < 300 + size, "one more does not fit"
    connection.pending += [small] * 50
    assert not connection.flush()
    connection.pending += [wire.Closed(ErrorCode.SLOW, "why")]
    connection.finish()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, Arrivals())
        data = b""
        while some := await client.receive():
            data += some
        client.close()
    kept = 300 // size
    assert data == encode_lines([small] * kept + [wire.Closed(ErrorCode.SLOW, "why")])
    connection = Connection(SESSION, memory_pair(10)[1])
    connection.pending += [small, large, small]
    assert not connection.flush()


class Pair:
    """A connection that runs, its client's end, and the commands that come of it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        capacity_bytes: int = 1024 * 1024,
        pace: Pace | None = None,
    ) -> None:
        self.client, transport = memory_pair(capacity_bytes, ("client", "server"))
        self.connection = Connection(SESSION, transport, pace)
        self.ended = trio.Event()
        self.was_told = False
        self._arrivals: Arrivals[Connection] = Arrivals()
        self._submit, self._commands = trio.open_memory_channel[Command](1000)
        nursery.start_soon(self._run)
        nursery.start_soon(self._feed)

    async def _run(self) -> None:
        self.was_told = await self.connection.run(self._arrivals)
        self.ended.set()

    async def _feed(self) -> None:
        """Do as the hub does."""
        while not self.ended.is_set():
            for connection, data in self._arrivals.take():
                connection.feed(data)
                while (command := connection.next_command()) is not None:
                    self._submit.send_nowait(command)
                if delay := connection.delay(trio.current_time()):
                    self._arrivals.pause(delay)
            await self._arrivals.wait(trio.current_time() + 1)

    async def command(self) -> Command:
        with trio.fail_after(1000):
            return await self._commands.receive()

    async def received(self) -> bytes:
        """All that reaches the client, to the end."""
        data = b""
        while chunk := await self.client.receive():
            data += chunk
        return data


@pytest.fixture
async def pair(nursery: trio.Nursery) -> Pair:
    return Pair(nursery)


async def test_what_one_read_brings_is_one_command(autojump_clock: MockClock, pair: Pair) -> None:
    batch: list[wire.Request] = [wire.Hello(1), wire.Login(1, "hans", "solo"), wire.Active()]
    pair.client.send_nowait(encode_lines(batch))
    assert await pair.command() == Requests(SESSION, batch)
    pair.client.close()
    assert await pair.command() == SessionClosed(SESSION)
    await pair.ended.wait()


async def test_a_read_that_brings_very_many_requests_is_several_commands(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery)
    pair.connection.admit("hans", None)
    requests: list[wire.Request] = [wire.Active()] * (2 * limits.REQUESTS_BATCH_MAX + 1)
    pair.client.send_nowait(encode_lines(requests))
    sizes = []
    for _ in range(3):
        command = await pair.command()
        assert isinstance(command, Requests)
        sizes.append(len(command.batch))
    assert sizes == [limits.REQUESTS_BATCH_MAX, limits.REQUESTS_BATCH_MAX, 1]
    pair.client.close()


async def test_a_violation_comes_after_what_was_good_and_the_rest_is_thrown_away(
    autojump_clock: MockClock, pair: Pair
) -> None:
    pair.client.send_nowait(b'{"type":"active"}\ngarbage\n{"type":"active"}\n')
    assert await pair.command() == Requests(SESSION, [wire.Active()])
    failed = await pair.command()
    assert isinstance(failed, SessionFailed)
    assert failed.code is ErrorCode.BAD_LINE
    pair.client.send_nowait(b'{"type":"active"}\n')
    pair.client.close()
    assert await pair.command() == SessionClosed(SESSION)


async def test_only_who_is_admitted_may_send_long_lines(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    line = b" " * (limits.LOGIN_LINE_BYTES_MAX + 1)
    stranger, user = Pair(nursery), Pair(nursery)
    user.connection.admit("hans", None)
    for pair in (stranger, user):
        pair.client.send_nowait(line + b'{"type":"active"}\n')
        pair.client.close()
    assert isinstance(await stranger.command(), SessionFailed)
    assert await user.command() == Requests(SESSION, [wire.Active()])


async def test_of_a_stranger_little_is_read_at_a_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery)
    requests: list[wire.Request] = [wire.Active()] * 50
    pair.client.send_nowait(encode_lines(requests))
    command = await pair.command()
    assert isinstance(command, Requests)
    assert len(command.batch) == limits.LOGIN_RECEIVE_BYTES_MAX // len(
        encode_lines([wire.Active()])
    )
    pair.client.close()


async def test_who_sends_too_much_is_read_more_slowly_and_loses_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery)
    pair.connection.admit("hans", Pace(6))
    before = trio.current_time()
    burst: list[wire.Request] = [wire.Active()] * 60
    times = []
    for _ in range(4):
        pair.client.send_nowait(encode_lines(burst))
        assert await pair.command() == Requests(SESSION, burst)
        times.append(trio.current_time() - before)
    assert times == pytest.approx([0, 0, 10, 20])
    pair.client.close()
    assert await pair.command() == SessionClosed(SESSION)
    assert trio.current_time() - before == pytest.approx(30), "noticed after the pause"


async def test_empty_lines_count_as_requests_and_what_is_read_as_a_little_work(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery, pace=Pace(1))
    connection = pair.connection
    assert connection.feed(b"\n" * 12) == 12
    assert connection.delay(trio.current_time()) == pytest.approx(2)
    assert connection.feed(encode_lines([wire.Active()])) == 0
    assert connection.feed(b" " * 2 * limits.REQUEST_INPUT_BYTES_MAX) == 2
    assert connection.feed(b"garbage\n") == 0
    assert connection.feed(b"\n" * 12) == 0
    pair.client.close()
    await pair.ended.wait()


async def test_a_pause_does_not_keep_the_server_from_closing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery, pace=Pace(1))
    pair.client.send_nowait(encode_lines([wire.Active()] * 100))
    await pair.command()
    before = trio.current_time()
    pair.connection.finish()
    await pair.ended.wait()
    assert trio.current_time() - before <= limits.DRAIN_SECONDS_MAX


async def test_everything_pending_goes_out_in_one_flush(
    autojump_clock: MockClock, pair: Pair
) -> None:
    replies: list[wire.ServerMessage] = [wire.Ok(1), wire.Ok(2)]
    pair.connection.pending += replies
    assert pair.connection.flush()
    assert pair.connection.pending == []
    assert await pair.client.receive() == encode_lines(replies)
    pair.client.close()
    await pair.ended.wait()


async def test_a_flush_tells_when_the_receiver_does_not_keep_up(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery, capacity_bytes=10)
    text = "x" * limits.TEXT_BYTES_MAX
    flushes = 0
    kept_up = True
    while kept_up:
        pair.connection.pending.append(wire.Announcement("hans", "pc", 2, text))
        kept_up = pair.connection.flush()
        flushes += 1
    assert abs(flushes * len(text) - limits.OUTBOX_BYTES_MAX) < 2 * len(text)
    pair.client.close()
    await pair.ended.wait()


async def test_after_finish_the_last_lines_go_out_and_the_client_may_close(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery, capacity_bytes=10)
    pair.connection.pending.append(wire.Ok(1))
    pair.connection.flush()
    pair.connection.finish()
    assert await pair.received() == encode_lines([wire.Ok(1)])
    assert not pair.ended.is_set()
    pair.client.close()
    await pair.ended.wait()
    assert await pair.command() == SessionClosed(SESSION)


@pytest.mark.parametrize("reads", [False, True])
async def test_a_client_that_does_not_close_cannot_keep_a_finished_connection(
    autojump_clock: MockClock, nursery: trio.Nursery, reads: bool
) -> None:
    pair = Pair(nursery, capacity_bytes=10)
    before = trio.current_time()
    pair.connection.pending.append(wire.Ok(1))
    pair.connection.flush()
    pair.connection.finish()
    if reads:
        await pair.received()
    await pair.ended.wait()
    assert not pair.was_told
    seconds = limits.DRAIN_SECONDS_MAX * (1 if reads else 2)
    assert trio.current_time() - before == pytest.approx(seconds)


async def test_a_broken_connection_ends_like_any_other(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_() -> bytes:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError

    def break_now() -> None:
        raise trio.BrokenResourceError

    pair = Pair(nursery)
    transport = pair.connection._transport
    monkeypatch.setattr(transport, "receive", break_)
    monkeypatch.setattr(transport, "send_eof", break_now)
    await pair.ended.wait()
    assert await pair.command() == SessionClosed(SESSION)
    pair.connection.pending.append(wire.Ok(1))
    assert pair.connection.flush()


async def test_a_stranger_with_many_empty_lines_is_cut_off(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair = Pair(nursery)
    pair.client.send_nowait(b"\n" * (limits.STRANGER_EMPTY_LINES_MAX + 1))
    command = await pair.command()
    assert isinstance(command, SessionFailed)
    assert "Empty lines" in command.text
    user = Pair(nursery)
    user.connection.admit("hans", None)
    user.client.send_nowait(b"\n" * 1000 + encode_lines([wire.Active()]))
    assert isinstance(await user.command(), Requests)
    pair.client.close()
    user.client.close()
