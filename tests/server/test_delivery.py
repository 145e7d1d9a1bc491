"""Section 3.3 and the promise of an `ok` on the wire: messages, offline messages, broadcast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.core.beginning import Settings
from trio_chat.core.effects import Commit
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .harness import (
    Chat,
    Client,
    Ended,
    GatedStore,
    in_virtual_time,
    password_of,
    pause,
    running_chat,
)


async def send_offline(sender: Client, to: str, *texts: str) -> None:
    for text in texts:
        await sender.ok(wire.Message, to=to, text=text)


async def receive(client: Client, count: int) -> list[wire.Delivery]:
    return [await client.expect(wire.Delivery) for _ in range(count)]


# -- What arrives ----------------------------------------------------------------------------


async def test_a_message_reaches_its_receiver_with_the_name_of_its_sender(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda, luke = [await chat.login(user) for user in ("hans", "yoda", "luke")]
    await hans.begin(wire.Message, to="yoda", text="hello")
    delivery = await yoda.expect(wire.Delivery)
    assert delivery == wire.Delivery(delivery.seq, "hans", "pc-hans", 2, "hello")
    assert await luke.event() != delivery


@pytest.mark.parametrize(
    "text",
    [
        "  inner   and outer blanks ",
        "é😀\u202e",
        'quo"te\\',
        "two\nlines\r\n",
        "\0\x1b[2J.",
        "\u3000.",
    ],
)
async def test_a_text_arrives_exactly_as_it_was_sent_online_and_offline(
    autojump_clock: MockClock, chat: Chat, text: str
) -> None:
    hans = await chat.login("hans")
    await send_offline(hans, "yoda", text)
    yoda = await chat.login("yoda")
    assert await yoda.text() == text
    await hans.begin(wire.Message, to="yoda", text=text)
    assert await yoda.text() == text


@pytest.mark.parametrize("letter", ["x", "é", "\0"])
async def test_the_longest_text_passes_and_a_longer_one_is_refused_with_the_limit(
    autojump_clock: MockClock, chat: Chat, letter: str
) -> None:
    most = limits.TEXT_BYTES_MAX
    longest = letter * (most // len(letter.encode()) - 1)
    longest += "x" * (most - len(longest.encode()))
    hans = await chat.login("hans")
    await send_offline(hans, "yoda", longest)
    for kind, fields in ((wire.Message, {"to": "yoda"}), (wire.Broadcast, {})):
        error = await hans.refused(kind, text=longest + "!", **fields)
        assert error.code is ErrorCode.TEXT_TOO_LONG
        assert f"at most {limits.TEXT_BYTES_MAX} bytes" in error.text
    yoda = await chat.login("yoda")
    assert await yoda.text() == longest


@pytest.mark.parametrize(
    ("to", "text", "code"),
    [
        ("nobody", "hello", ErrorCode.UNKNOWN_USER),
        ("Yoda", "hello", ErrorCode.UNKNOWN_USER),
        ("hans", "hello", ErrorCode.MESSAGE_SELF),
        ("yoda", "", ErrorCode.TEXT_EMPTY),
        ("yoda", " ", ErrorCode.TEXT_EMPTY),
        ("yoda", "\u3000\u200b\u00ad", ErrorCode.TEXT_EMPTY),
        ("yoda", "\0\x1b[2J", ErrorCode.TEXT_EMPTY),
    ],
)
async def test_a_message_that_cannot_be_delivered_is_refused_with_a_reason(
    autojump_clock: MockClock, chat: Chat, to: str, text: str, code: ErrorCode
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    assert (await hans.refused(wire.Message, to=to, text=text)).code is code
    await yoda.expect_nothing()


async def test_messages_to_somebody_offline_wait_in_order_over_a_restart(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, luke = await chat.login("hans"), await chat.login("luke")
    await send_offline(hans, "yoda", "one", "two")
    await send_offline(luke, "yoda", "three")
    await chat.restart()
    yoda = await chat.login("yoda")
    got = await receive(yoda, 3)
    assert [(d.sender, d.text) for d in got] == [
        ("hans", "one"),
        ("hans", "two"),
        ("luke", "three"),
    ]
    assert sorted({d.seq for d in got}) == [d.seq for d in got]


# -- Acknowledgements by the receiver ----------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_not_acknowledged_comes_again_in_order_and_the_rest_does_not(
    autojump_clock: MockClock, chat: Chat, restarted: bool
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    numbers = [await hans.begin(wire.Message, to="yoda", text=text) for text in "abcd"]
    before = await receive(yoda, 4)
    await yoda.acknowledge(before[1].seq)
    for number in numbers:
        assert await hans.reply(number) == wire.Ok(number)
    await pause(limits.CLEANUP_DELAY_SECONDS + 1)
    yoda.drop()
    if restarted:
        await chat.restart()
    yoda = await chat.login("yoda")
    assert await receive(yoda, 2) == before[2:]
    await yoda.acknowledge(before[3].seq)
    await yoda.log_out()
    yoda = await chat.login("yoda")
    await yoda.expect_nothing()


async def test_an_offline_message_comes_at_each_login_until_it_is_acknowledged(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans = await chat.login("hans")
    await send_offline(hans, "yoda", "hello")
    for _ in range(3):
        yoda = await chat.login("yoda")
        delivery = await yoda.expect(wire.Delivery)
        yoda.drop()
        await chat.expect_served()
    yoda = await chat.login("yoda")
    assert await yoda.expect(wire.Delivery) == delivery
    await yoda.acknowledge(delivery.seq)
    await yoda.log_out()
    await pause(limits.CLEANUP_DELAY_SECONDS + 1)
    await chat.restart()
    yoda = await chat.login("yoda")
    await yoda.expect_nothing()


async def test_an_acknowledgement_of_what_was_never_sent_does_no_harm(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    await yoda.acknowledge(limits.INTEGER_MAX)
    await yoda.acknowledge(0)
    await hans.tell(yoda, "yoda", "hello")


async def test_who_does_not_acknowledge_gets_a_window_of_messages_and_later_the_rest(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, chat: Chat
) -> None:
    monkeypatch.setattr(limits, "WINDOW_MESSAGES_MAX", 2)
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    await send_offline(hans, "yoda", "a", "b", "c", "d")
    first = await receive(yoda, 2)
    await yoda.expect_nothing()
    await yoda.acknowledge(first[0].seq)
    assert await yoda.text() == "c"
    await yoda.expect_nothing()


async def test_a_mailbox_of_long_messages_does_not_end_the_connection_of_who_reads_it(
    autojump_clock: MockClock, chat: Chat
) -> None:
    """All at once they would be more than an outbox takes, at every login again."""
    count = limits.WINDOW_MESSAGES_MAX
    assert count * limits.TEXT_BYTES_MAX > limits.OUTBOX_BYTES_MAX
    hans = await chat.login("hans")
    await send_offline(
        hans, "yoda", *[f"{number:{limits.TEXT_BYTES_MAX}}" for number in range(count)]
    )
    yoda = await chat.login("yoda")
    for number in range(count):
        delivery = await yoda.expect(wire.Delivery)
        assert int(delivery.text) == number
        await yoda.acknowledge(delivery.seq)
    await yoda.expect_nothing()


# -- What an ok means ----------------------------------------------------------------------------


@pytest.mark.parametrize("online", [False, True])
async def test_ok_comes_only_when_the_message_is_on_disk(
    autojump_clock: MockClock, chat: Chat, store: GatedStore, online: bool
) -> None:
    hans = await chat.login("hans")
    if online:
        await chat.login("yoda")
        await hans.expect(wire.Presence)
    store.shut()
    number = await hans.begin(wire.Message, to="yoda", text="hello")
    await hans.expect_nothing(100)
    store.open()
    assert await hans.reply(number) == wire.Ok(number)


async def test_ok_comes_at_once_when_the_receiver_has_acknowledged_and_nothing_is_written(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    store.shut()
    before = trio.current_time()
    await hans.tell(yoda, "yoda", "hello")
    assert trio.current_time() == before
    await pause(10)
    assert store.commits == []


async def test_the_server_goes_on_while_the_disk_is_slow_and_commits_what_gathered_at_once(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    hans = await chat.login("hans")
    store.shut()
    numbers = [await hans.begin(wire.Message, to="yoda", text=str(n)) for n in range(5)]
    await chat.expect_served()
    numbers += [await hans.begin(wire.Message, to="luke", text=str(n)) for n in range(50)]
    await pause(1)
    store.open()
    for number in numbers:
        assert await hans.reply(number) == wire.Ok(number)
    assert len(store.commits) == 2


async def test_a_store_that_fails_is_told_to_the_sender_and_recovers(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    hans, luke = await chat.login("hans"), await chat.login("luke")
    store.failure = "the disk is full"
    error = await hans.refused(wire.Message, to="yoda", text="lost")
    assert error.code is ErrorCode.NOT_STORED
    assert (await hans.refused(wire.Block, user="vader")).code is ErrorCode.NOT_STORED
    await hans.tell(luke, "luke", "those who are here need no disk")
    await chat.expect_served()
    store.failure = None
    await send_offline(hans, "yoda", "kept")
    await hans.ok(wire.Block, user="vader")
    yoda = await chat.login("yoda")
    assert await yoda.text() == "kept"
    await yoda.expect_nothing()


async def test_who_logs_in_while_the_store_cannot_be_read_is_told_and_loses_nothing(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    hans = await chat.login("hans")
    await send_offline(hans, "yoda", "kept")
    store.failure = "the disk is gone"
    yoda = await chat.greeted()
    await yoda.begin(wire.Login, user="yoda", password=password_of("yoda"))
    assert await yoda.closed() is ErrorCode.MAILBOX_UNREADABLE
    store.failure = None
    yoda = await chat.login("yoda")
    assert await yoda.text() == "kept"


async def test_a_full_mailbox_is_told_to_the_sender_until_there_is_room(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, chat: Chat
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 2)
    hans, luke = await chat.login("hans"), await chat.login("luke")
    await send_offline(luke, "yoda", "a")
    await send_offline(hans, "yoda", "b")
    error = await hans.refused(wire.Message, to="yoda", text="c")
    assert error.code is ErrorCode.MAILBOX_FULL
    assert "the mailbox of yoda is full" in error.text
    yoda = await chat.login("yoda")
    await yoda.acknowledge((await receive(yoda, 2))[1].seq)
    await hans.tell(yoda, "yoda", "c")


# -- Repetitions ---------------------------------------------------------------------------------


async def test_what_a_client_sends_again_on_a_new_connection_is_delivered_once(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    number = await hans.begin(wire.Message, to="yoda", text="hello")
    delivery = await yoda.expect(wire.Delivery)
    hans.drop()
    await yoda.acknowledge(delivery.seq)
    # What is sent again keeps its number, so the login needs one before it.
    hans = await chat.login("hans", number=number - 1)
    await hans.ok(wire.Message, to="yoda", text="hello")
    await yoda.expect(wire.Presence)
    await yoda.expect(wire.Presence)
    await yoda.expect_nothing()


# -- Broadcast -------------------------------------------------------------------------------------


async def test_a_broadcast_reaches_everybody_online_once_and_is_not_kept(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda, luke = [await chat.login(user) for user in ("hans", "yoda", "luke")]
    assert await hans.request(wire.Broadcast, text="vader rocks") == wire.Sent(2, complete=True)
    for other in (yoda, luke):
        heard = await other.expect(wire.Announcement)
        assert (heard.sender, heard.id, heard.text) == ("hans", 2, "vader rocks")
    await luke.expect_nothing()
    vader = await chat.login("vader")
    await vader.expect_nothing()
    assert [type(await hans.event()) for _ in range(3)] == [wire.Presence] * 3
    await hans.expect_nothing()


async def test_a_broadcast_without_anybody_to_hear_it_is_complete(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    assert await hans.request(wire.Broadcast, text="Echo") == wire.Sent(2, complete=True)


# -- Crashes ---------------------------------------------------------------------------------------


class Writer:
    """Sends one message after the other, and again on a new connection what had no answer."""

    def __init__(self, user: str, to: str) -> None:
        self.user = user
        self.to = to
        self.acknowledged: list[int] = []
        self.unanswered: list[wire.Message] = []
        self._number = 0

    async def write(self, chat: Chat) -> None:
        # What had no answer is sent again under its number, after that of the login.
        first = self.unanswered[0].id if self.unanswered else self._next(gap=1)
        client = await chat.login(self.user, number=first - 1)
        self.unanswered += [
            wire.Message(number, self.to, f"{self.user} {number}")
            for number in (self._next() for _ in range(7))
        ]
        await client.send(*self.unanswered)
        while self.unanswered:
            reply = await client.expect(wire.Ok)
            self.unanswered = [m for m in self.unanswered if m.id != reply.id]
            self.acknowledged.append(reply.id)

    def _next(self, gap: int = 0) -> int:
        self._number += 1 + gap
        return self._number


class Reader:
    """Acknowledges every other delivery; remembers all by their keys."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.shown: dict[tuple[str, str, int], str] = {}

    async def read(self, chat: Chat) -> None:
        client = await chat.login(self.user)
        while True:
            delivery = await client.expect(wire.Delivery)
            self.shown.setdefault((delivery.sender, delivery.client, delivery.id), delivery.text)
            if len(self.shown) % 2:
                await client.acknowledge(delivery.seq)


async def until_the_crash(play: Callable[[Chat], Awaitable[None]], chat: Chat) -> None:
    with suppress(Ended, trio.BrokenResourceError):
        await play(chat)


@settings(max_examples=40)
@given(steps=st.lists(st.integers(0, 60), min_size=1, max_size=4), disk=st.integers(0, 20))
def test_every_acknowledged_message_is_delivered_once_whenever_the_server_crashes(
    steps: list[int], disk: int
) -> None:
    async def scenario() -> None:
        writers = [Writer("hans", "yoda"), Writer("luke", "yoda"), Writer("vader", "r2d2")]
        readers = [Reader("yoda")]
        async with running_chat(SlowStore(disk), Settings(60, 300)) as chat:
            for count in steps:
                async with trio.open_nursery() as nursery:
                    for writer in writers:
                        nursery.start_soon(until_the_crash, writer.write, chat)
                    for reader in readers:
                        nursery.start_soon(until_the_crash, reader.read, chat)
                    for _ in range(count):
                        await trio.lowlevel.checkpoint()
                    await chat.crash()
                    nursery.cancel_scope.cancel()
                await chat.start()
            readers = [*readers, Reader("r2d2")]
            with trio.move_on_after(10):
                async with trio.open_nursery() as nursery:
                    for reader in readers:
                        nursery.start_soon(reader.read, chat)
            await chat.stop()
        for writer in writers:
            shown = [
                key[2]
                for reader in readers
                for key in reader.shown
                if reader.user == writer.to and key[0] == writer.user
            ]
            assert set(writer.acknowledged) <= set(shown), "an acknowledged message is lost"
            assert shown == sorted(shown), "messages arrived in another order"

    in_virtual_time(scenario)


class SlowStore(GatedStore):
    """A store that takes some turns of the event loop before and after it has written."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._turns = turns

    async def commit(self, commit: Commit) -> None:
        for _ in range(self._turns):
            await trio.lowlevel.checkpoint()
        await super().commit(commit)
        for _ in range(self._turns):
            await trio.lowlevel.checkpoint()
