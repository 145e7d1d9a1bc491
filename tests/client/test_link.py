"""One private conversation: what its two ends owe each other, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.link import Link, LinkEnding, LinkError
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol.framing import encode_line, encode_lines
from trio_chat.protocol.peer import Bye, PeerHello, PeerMessage, Private, PrivateAck, peer_decoder

SECONDS_MAX = 100.0
LONG_TEXT = "x" * limits.TEXT_BYTES_MAX


class End:
    """A link with somebody who sees what it shows.

    Attributes:
        screen: the texts, once they stand there.
        blocked: set, nothing gets there until it is set free.
        at: when it had ended.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.link = Link("yoda", transport, self._show)
        self.screen: list[str] = []
        self.free = trio.Event()
        self.free.set()
        self.ending: LinkEnding | None = None
        self.at = 0.0

    async def _show(self, user: str, text: str) -> None:
        assert user == "yoda"
        await self.free.wait()
        await trio.lowlevel.checkpoint()
        self.screen.append(text)

    async def run(self) -> None:
        try:
            self.ending = await self.link.run()
            self.at = trio.current_time()
        finally:
            self.transport.close()


class Script:
    """The other end, played by a test."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self._decoder = peer_decoder()
        self._unread: list[PeerMessage] = []

    def say(self, *messages: PeerMessage) -> None:
        data = encode_lines(messages)
        assert self.transport.send_nowait(data) == len(data)

    async def next(self) -> PeerMessage | None:
        """What comes next; None at the end."""
        with trio.fail_after(SECONDS_MAX):
            while not self._unread:
                data = await self.transport.receive()
                if not data:
                    return None
                self._unread = self._decoder.feed(data)
        return self._unread.pop(0)


async def _greeted_script(capacity_bytes: int = 1024 * 1024) -> tuple[End, Script]:
    left, right = memory_pair(capacity_bytes)
    end, script = End(left), Script(right)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: end.link.greet(first=True))
        assert await script.next() == PeerHello(1)
        script.say(PeerHello(1))
    return end, script


@asynccontextmanager
async def scripted() -> AsyncGenerator[tuple[End, Script], None]:
    """A link that runs against a script; it ends with this block, or before."""
    end, script = await _greeted_script()
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end.run)
            yield end, script
            script.transport.close()


@asynccontextmanager
async def linked() -> AsyncGenerator[tuple[End, End], None]:
    """Two links that run against each other; they have to end by themselves."""
    left, right = (End(transport) for transport in memory_pair())
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as greeting:
            greeting.start_soon(lambda: left.link.greet(first=True))
            greeting.start_soon(lambda: right.link.greet(first=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.run)
            nursery.start_soon(right.run)
            yield left, right


# -- The first lines -------------------------------------------------------------------------


async def _fails_to_greet(first: bool, answer: bytes) -> str:
    left, right = memory_pair()
    right.send_nowait(answer)
    right.send_eof()
    with pytest.raises(LinkError) as caught:
        await Link("yoda", left, End(left)._show).greet(first=first)
    return str(caught.value)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "it closed the connection"),
        (b"nonsense\n", "it closed the connection"),
        (encode_line(PrivateAck(1)) + b"\n", "it does not keep to the protocol"),
        (
            encode_line(PeerHello(2)) + b"\n",
            "one of both clients is too old for the other, and needs an update",
        ),
    ],
)
async def test_whoever_does_not_greet_is_no_peer(first: bool, answer: bytes, reason: str) -> None:
    assert await _fails_to_greet(first, answer) == reason


async def test_whoever_was_connected_to_says_nothing_before_it_was_greeted() -> None:
    left, right = memory_pair()
    right.send_nowait(b'{"type":"hello","version":2}\n')
    with pytest.raises(LinkError):
        await Link("yoda", left, End(left)._show).greet(first=False)
    left.close()
    assert await right.receive() == b""


# -- Messages --------------------------------------------------------------------------------


async def test_messages_are_numbered_shown_in_order_and_acknowledged_by_the_batch(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (end, script):
        script.say(Private(1, "a"), Private(2, "b"), Private(3, "c"))
        assert await script.next() == PrivateAck(3)
        assert end.screen == ["a", "b", "c"]
        assert await end.link.send("d")
        assert await end.link.send("e")
        assert await script.next() == Private(1, "d")
        assert await script.next() == Private(2, "e")
        assert end.link.unanswered == 2
        script.say(PrivateAck(1))
        await wait_all_tasks_blocked()
        assert end.link.unanswered == 1
        script.say(PrivateAck(2))
        await end.link.wait_all_answered()
        assert end.link.unanswered == 0


async def test_what_comes_with_the_greeting_is_not_lost(autojump_clock: MockClock) -> None:
    left, right = memory_pair()
    end, script = End(left), Script(right)
    script.say(PeerHello(1), Private(1, "early"))
    await end.link.greet(first=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.run)
        assert await script.next() == PeerHello(1)
        assert await script.next() == PrivateAck(1)
        assert end.screen == ["early"]
        right.close()


async def test_nothing_is_acknowledged_before_it_stands_on_the_screen(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (end, script):
        end.free = trio.Event()
        script.say(Private(1, "the plans"))
        with trio.move_on_after(1):
            await script.transport.receive()
            raise AssertionError("it was acknowledged")
        end.free.set()
        assert await script.next() == PrivateAck(1)
        assert end.screen == ["the plans"]


async def test_a_message_that_never_got_to_the_screen_is_reported_to_its_sender(
    autojump_clock: MockClock,
) -> None:
    async with linked() as (left, right):
        right.free = trio.Event()
        await left.link.send("the plans")
        await wait_all_tasks_blocked()
        right.link.abandon()
    assert left.ending is LinkEnding.LOST
    assert left.link.unanswered == 1
    assert right.screen == []


async def test_a_sender_waits_while_too_much_is_unanswered(autojump_clock: MockClock) -> None:
    async with scripted() as (end, script):
        for _ in range(limits.PRIVATE_UNANSWERED_MAX):
            assert await end.link.send("m")
        with trio.move_on_after(1):
            await end.link.send("too much")
            raise AssertionError("it did not wait")
        script.say(PrivateAck(1))
        assert await end.link.send("enough")
        assert end.link.unanswered == limits.PRIVATE_UNANSWERED_MAX


async def test_long_messages_make_their_sender_wait_and_not_the_link_end(
    autojump_clock: MockClock,
) -> None:
    """The window in messages alone would let more wait than an outbox holds."""
    async with linked() as (left, right):
        for _ in range(2 * limits.PRIVATE_UNANSWERED_MAX):
            assert await left.link.send(LONG_TEXT)
        await left.link.wait_all_answered()
        assert len(right.screen) == 2 * limits.PRIVATE_UNANSWERED_MAX
        left.link.stop()
    assert (left.ending, right.ending) == (LinkEnding.STOPPED_BY_US, LinkEnding.STOPPED)


async def test_who_waits_to_send_learns_that_it_has_ended(autojump_clock: MockClock) -> None:
    async with scripted() as (end, script):
        for _ in range(limits.PRIVATE_UNANSWERED_MAX):
            await end.link.send("m")
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                assert await end.link.send("one more") is False

            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            script.transport.close()
    assert end.link.unanswered == limits.PRIVATE_UNANSWERED_MAX


# -- Its end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_by", "ending"), [(False, LinkEnding.STOPPED), (True, LinkEnding.LEFT)]
)
async def test_either_side_can_end_it_and_nothing_that_was_sent_is_lost(
    autojump_clock: MockClock, left_by: bool, ending: LinkEnding
) -> None:
    async with linked() as (left, right):
        for number in range(100):
            await left.link.send(f"to right {number}")
            await right.link.send(f"to left {number}")
        left.link.stop(left=left_by)
        left.link.stop()  # once is enough
        assert not await left.link.send("too late")
    assert (left.ending, right.ending) == (LinkEnding.STOPPED_BY_US, ending)
    assert right.screen == [f"to right {number}" for number in range(100)]
    assert left.screen == [f"to left {number}" for number in range(100)]
    assert left.link.unanswered == right.link.unanswered == 0
    assert left.at == right.at == 0, "it waits for nothing"


async def test_both_sides_may_end_it_at_once(autojump_clock: MockClock) -> None:
    async with linked() as (left, right):
        await left.link.send("last from left")
        await right.link.send("last from right")
        left.link.stop()
        right.link.stop(left=True)
    assert left.ending is right.ending is LinkEnding.STOPPED_BY_US
    assert (left.screen, right.screen) == (["last from right"], ["last from left"])
    assert left.link.unanswered == right.link.unanswered == 0
    assert left.at == right.at == 0


async def test_a_side_that_does_not_take_the_goodbye_does_not_hold_it_up(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (end, script):
        await end.link.send("hello?")
        end.link.stop()
        await end.link.wait_all_answered()
        assert await script.next() == Private(1, "hello?")
        assert await script.next() == Bye()
        await trio.sleep(limits.DRAIN_SECONDS_MAX)
        assert await script.next() is None
    assert end.ending is LinkEnding.STOPPED_BY_US
    assert end.at == limits.DRAIN_SECONDS_MAX
    assert end.link.unanswered == 1


@pytest.mark.parametrize(("count", "seconds", "unanswered"), [(4, 6.0, 0), (10, 8.0, 5)])
async def test_an_end_waits_while_acknowledgements_come_and_not_for_ever(
    autojump_clock: MockClock, count: int, seconds: float, unanswered: int
) -> None:
    async with scripted() as (end, script):
        for number in range(count):
            await end.link.send(str(number))
        end.link.stop()
        with suppress(trio.BrokenResourceError):
            for id in range(1, count + 1):
                await trio.sleep(1.5)
                script.say(PrivateAck(id))
        script.transport.close()
    assert end.ending is LinkEnding.STOPPED_BY_US
    assert end.at == seconds
    assert end.link.unanswered == unanswered


async def test_a_lost_connection_ends_it(autojump_clock: MockClock) -> None:
    async with linked() as (left, right):
        right.transport.close()
    assert left.ending is right.ending is LinkEnding.LOST


async def test_a_peer_that_does_not_acknowledge_is_gone(autojump_clock: MockClock) -> None:
    async with scripted() as (end, script):
        await trio.sleep(50)  # nothing is expected of it
        for seconds in (0, 10, 4):
            await trio.sleep(seconds)
            await end.link.send("hello?")
        script.say(PrivateAck(1))
        while await script.next() is not None:
            pass
    assert end.ending is LinkEnding.SILENT
    assert end.at == 60 + limits.PEER_ANSWER_SECONDS_MAX, "counted from the oldest one"
    assert end.link.unanswered == 2


async def test_a_peer_has_answered_in_time_though_this_process_was_stopped(
    mock_clock: MockClock,
) -> None:
    async with scripted() as (end, script):
        await end.link.send("hello?")
        assert await script.next() == Private(1, "hello?")
        await wait_all_tasks_blocked()
        script.say(PrivateAck(1))
        mock_clock.jump(2 * limits.PEER_ANSWER_SECONDS_MAX)
        await wait_all_tasks_blocked()
        assert end.ending is None
        assert end.link.unanswered == 0
        await end.link.send("and now?")
        await wait_all_tasks_blocked()
        mock_clock.jump(2 * limits.PEER_ANSWER_SECONDS_MAX)
        await wait_all_tasks_blocked()
        assert end.ending is None, "what came meanwhile may not be read yet"
        mock_clock.jump(1.5 * limits.LATE_SECONDS)
        while await script.next() is not None:
            pass
    assert end.ending is LinkEnding.SILENT


async def test_a_peer_that_reads_nothing_fills_no_memory(autojump_clock: MockClock) -> None:
    async with scripted() as (end, _):
        end.transport.capacity_bytes = 0
        while await end.link.send(LONG_TEXT):
            pass
    assert end.ending is LinkEnding.SILENT
    assert end.at == limits.PEER_ANSWER_SECONDS_MAX


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"x" * (limits.LINE_BYTES_MAX + 1), encode_line(PeerHello(1)) + b"\n"],
    ids=["garbage", "long line", "second hello"],
)
async def test_a_peer_that_breaks_the_protocol_is_left(
    autojump_clock: MockClock, line: bytes
) -> None:
    async with scripted() as (end, script):
        script.say(Private(1, "before"))
        assert script.transport.send_nowait(line) == len(line)
        assert await script.next() == PrivateAck(1)
        assert await script.next() is None
    assert end.ending is LinkEnding.BROKEN
    assert end.screen == ["before"]
    assert end.at == 0


async def test_a_link_that_is_abandoned_ends_at_once(autojump_clock: MockClock) -> None:
    async with scripted() as (end, script):
        await end.link.send("hello?")
        end.link.abandon()
        assert await script.next() == Private(1, "hello?")
        assert await script.next() is None
    assert end.ending is LinkEnding.LOST
    assert end.at == 0
    assert end.link.unanswered == 1


async def test_a_cancelled_link_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    end, script = await _greeted_script()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.run)
        await end.link.send("hello?")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert end.ending is None
    assert await script.next() == Private(1, "hello?")
    assert await script.next() is None
