"""Blacklisting on the wire (section 3.3): nothing of the blocked one gets through, on any path."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .harness import Chat, GatedStore


async def test_nothing_that_a_blocked_user_sends_arrives(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.ok(wire.Block, user="hans")
    error = await hans.refused(wire.Message, to="yoda", text="Let me in")
    assert error.code is ErrorCode.BLOCKED_BY_RECIPIENT
    assert await hans.request(wire.Broadcast, text="Hey") == wire.Sent(3, complete=False)
    assert await yoda.event() == wire.Presence("hans", online=True)
    await yoda.expect_nothing()


async def test_a_refused_message_is_not_delivered_after_the_end_of_the_block(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.ok(wire.Block, user="hans")
    await hans.refused(wire.Message, to="yoda", text="refused")
    await yoda.ok(wire.Unblock, user="hans")
    await hans.tell(yoda, "yoda", "welcome")


async def test_a_blocked_user_hears_nothing_of_the_others_presence_but_finds_them_by_asking(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.ok(wire.Block, user="hans")
    await yoda.log_out()
    await chat.login("yoda")
    await hans.expect_nothing()
    assert await hans.users(wire.WhoElse) == ["yoda"]


async def test_a_block_has_one_direction(autojump_clock: MockClock, chat: Chat) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.ok(wire.Block, user="hans")
    await yoda.tell(hans, "hans", "I may")
    assert await yoda.request(wire.Broadcast, text="Still") == wire.Sent(4, complete=True)
    assert (await hans.expect(wire.Announcement)).text == "Still"
    assert await yoda.event() == wire.Presence("hans", online=True)
    await hans.log_out()
    assert await yoda.event() == wire.Presence("hans", online=False)


async def test_a_block_holds_for_offline_users_over_logouts_and_restarts(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda = await chat.login("yoda")
    await yoda.ok(wire.Block, user="hans")
    await yoda.log_out()
    await chat.restart()
    hans = await chat.login("hans")
    error = await hans.refused(wire.Message, to="yoda", text="Let me in")
    assert error.code is ErrorCode.BLOCKED_BY_RECIPIENT
    yoda = await chat.login("yoda")
    await hans.expect_nothing()
    await yoda.ok(wire.Unblock, user="hans")
    await chat.restart()
    hans = await chat.login("hans")
    await hans.ok(wire.Message, to="yoda", text="Thank you")


async def test_a_message_sent_before_the_block_still_arrives(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    await hans.ok(wire.Message, to="yoda", text="before")
    yoda = await chat.login("yoda")
    await yoda.ok(wire.Block, user="hans")
    assert await yoda.text() == "before"


async def test_a_broadcast_is_complete_if_its_only_blocker_is_offline(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.ok(wire.Block, user="hans")
    await yoda.log_out()
    assert await hans.request(wire.Broadcast, text="Hey") == wire.Sent(2, complete=True)


@pytest.mark.parametrize(
    ("kind", "user", "code"),
    [
        (wire.Block, "yoda", ErrorCode.BLOCK_SELF),
        (wire.Block, "nobody", ErrorCode.UNKNOWN_USER),
        (wire.Block, "hans", ErrorCode.ALREADY_BLOCKED),
        (wire.Unblock, "yoda", ErrorCode.UNBLOCK_SELF),
        (wire.Unblock, "nobody", ErrorCode.UNKNOWN_USER),
        (wire.Unblock, "luke", ErrorCode.NOT_BLOCKED),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_reason(
    autojump_clock: MockClock,
    chat: Chat,
    kind: type[wire.Block | wire.Unblock],
    user: str,
    code: ErrorCode,
) -> None:
    yoda = await chat.login("yoda")
    await yoda.ok(wire.Block, user="hans")
    error = await yoda.refused(kind, user=user)
    assert (error.code, error.text) == (code, code.describe(user=user))


async def test_a_block_is_confirmed_when_it_is_on_disk_and_holds_before(
    autojump_clock: MockClock, chat: Chat, store: GatedStore
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await yoda.expect(wire.Presence)
    store.shut()
    number = await yoda.begin(wire.Block, user="hans")
    await yoda.expect_nothing()
    error = await hans.refused(wire.Message, to="yoda", text="Quick")
    assert error.code is ErrorCode.BLOCKED_BY_RECIPIENT
    store.open()
    assert await yoda.reply(number) == wire.Ok(number)
