"""What a stranger or a careless client may do: it ends their own connection, and nothing else.

After each of these, somebody else is served as if nothing had happened (`expect_served`).
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.errors import ErrorCode
from trio_chat.net.crowd import Crowd
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines
from trio_chat.server.pace import ROW_BYTES

from .harness import (
    SETTINGS,
    Chat,
    Client,
    in_virtual_time,
    password_of,
    pause,
    running_chat,
)

HELLO = encode_lines([wire.Hello(wire.PROTOCOL_VERSION)])


async def send_what_it_takes(client: Client, data: bytes) -> None:
    """Send until the server closes."""
    try:
        await client.send_bytes(data)
    except trio.BrokenResourceError:
        return


# -- Bytes that are no requests ------------------------------------------------------------------

BAD_LINES = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "http": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "invalid UTF-8": b'{"type":"login","id":1,"user":"\xff\xfe","password":""}',
    "encoded surrogate": b'{"type":"login","id":1,"user":"\xed\xa0\x80","password":""}',
    "escaped surrogate": rb'{"type":"login","id":1,"user":"\ud800","password":"longer than it"}',
    "no object": b"[1, 2, 3]",
    "a number": b"5",
    "null": b"null",
    "no type": b'{"id":1}',
    "unknown type": b'{"type":"shutdown","id":1}',
    "type of a reply": b'{"type":"ok","id":1}',
    "wrong field type": b'{"type":"login","id":1,"user":{},"password":[]}',
    "missing field": b'{"type":"login","id":1}',
    "id zero": b'{"type":"login","id":0,"user":"hans","password":""}',
    "huge id": b'{"type":"login","id":9007199254740992,"user":"hans","password":""}',
    "huge number": b'{"type":"hello","version":' + b"9" * 10_000 + b"}",
    "two objects": b'{"type":"hello","version":1}{"type":"hello","version":1}',
    "deep nesting": b'{"type":"hello","version":1,"capabilities":' + b"[" * 10_000,
    "NUL bytes": bytes(1000),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("phase", ["new", "greeted", "online"])
async def test_a_line_that_is_no_request_is_answered_and_closes_the_connection(
    autojump_clock: MockClock, chat: Chat, phase: str, line: bytes
) -> None:
    client = await (chat.login("hans") if phase == "online" else chat.connect())
    await client.send_bytes((HELLO if phase == "greeted" else b"") + line + b"\n")
    *before, error = await client.last_words()
    assert len(before) == (phase == "greeted")
    assert isinstance(error, wire.Error)
    assert (error.code, error.id) == (ErrorCode.BAD_LINE, None)
    await chat.expect_served()


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("online", [False, True])
async def test_a_line_over_the_limit_is_answered_with_the_limit(
    autojump_clock: MockClock, chat: Chat, online: bool, ended: bool
) -> None:
    limit = limits.LINE_BYTES_MAX if online else limits.LOGIN_LINE_BYTES_MAX
    client = await (chat.login("hans") if online else chat.greeted())
    beginning = b'{"type":"active","more":"'
    await client.send_bytes(beginning + b"x" * (limit - len(beginning) - 2) + b'"}')
    await client.expect_nothing()
    await client.send_bytes(b"\n" if ended else b"  ")
    [error] = await client.last_words()
    assert error == wire.Error(
        ErrorCode.LINE_TOO_LONG, f"Protocol error. A line can have at most {limit} bytes"
    )
    await chat.expect_served()


async def test_a_line_of_exactly_the_limit_is_read_after_login(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    line = b'{"type":"whoelse","id":2,"more":"'
    await hans.send_bytes(line + b"x" * (limits.LINE_BYTES_MAX - len(line) - 3) + b'"}\n')
    assert await hans.reply(2) == wire.Users(2, ())


@pytest.mark.parametrize("online", [False, True])
async def test_ten_megabytes_without_a_newline_are_thrown_away(
    autojump_clock: MockClock, chat: Chat, online: bool
) -> None:
    client = await (chat.login("hans") if online else chat.connect())
    chunk = b"x" * 10_000
    tracemalloc.start()
    try:
        for _ in range(1000):
            await send_what_it_takes(client, chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * limits.LINE_BYTES_MAX
    assert await client.closed() is ErrorCode.LINE_TOO_LONG
    await chat.expect_served()


# -- Requests that are not allowed now -----------------------------------------------------------

REQUESTS: list[wire.Request] = [
    wire.Message(2, "yoda", "hello"),
    wire.Broadcast(2, "hello"),
    wire.WhoElse(2),
    wire.WhoElseSince(2, 5),
    wire.Block(2, "yoda"),
    wire.Unblock(2, "yoda"),
    wire.Logout(2),
    wire.Ack(2),
    wire.Active(),
]
STRANGER = "192.0.2.7"


@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
async def test_no_command_is_obeyed_before_login(
    autojump_clock: MockClock, chat: Chat, request_: wire.Request, greeted: bool
) -> None:
    yoda = await chat.login("yoda")
    stranger = await (chat.greeted() if greeted else chat.connect())
    await stranger.send(request_)
    assert await stranger.closed() is ErrorCode.WRONG_PHASE
    await yoda.expect_nothing()
    await chat.expect_served()


@pytest.mark.parametrize(
    "requests",
    [
        [wire.Hello(1), wire.Hello(1)],
        [wire.Login(1, "hans", password_of("hans"))],
        [wire.Hello(1), wire.Login(1, "hans", "wrong"), wire.Login(2, "hans", "again")],
    ],
)
async def test_requests_out_of_turn_are_violations(
    autojump_clock: MockClock, chat: Chat, requests: list[wire.Request]
) -> None:
    stranger = await chat.connect()
    await stranger.send(*requests)
    assert await stranger.closed() is ErrorCode.WRONG_PHASE
    await chat.expect_served()


async def test_a_second_login_and_numbers_that_do_not_increase_are_violations(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    await hans.send(wire.Login(2, "yoda", password_of("yoda")))
    assert await hans.closed() is ErrorCode.WRONG_PHASE
    hans = await chat.login("hans")
    await hans.send(wire.WhoElse(5), wire.WhoElse(5))
    assert await hans.closed() is ErrorCode.ID_NOT_INCREASING
    await chat.expect_served()


# -- Connections that come and go ----------------------------------------------------------------


async def test_connections_that_say_nothing_are_closed_in_time(
    autojump_clock: MockClock, chat: Chat
) -> None:
    clients = [await chat.connect() for _ in range(20)]
    await chat.expect_served()
    before = trio.current_time()
    for client in clients:
        assert await client.closed() is ErrorCode.LOGIN_TIMEOUT
    assert trio.current_time() - before <= limits.LOGIN_SECONDS_MAX
    await chat.expect_served()


@pytest.mark.parametrize("data", [b"", b"\n", b"{", HELLO, HELLO[:-1], BAD_LINES["garbage"]])
async def test_who_connects_and_drops_leaves_nothing_behind(
    autojump_clock: MockClock, chat: Chat, data: bytes
) -> None:
    for _ in range(50):
        client = await chat.connect()
        await client.send_bytes(data)
        client.drop()
    await chat.expect_served()


async def test_who_closes_one_half_gets_the_replies_to_what_was_sent_before(
    autojump_clock: MockClock, chat: Chat
) -> None:
    yoda, hans = await chat.login("yoda"), await chat.login("hans")
    await hans.send(*(wire.WhoElse(number) for number in range(2, 10)))
    hans.transport.send_eof()
    assert await hans.last_words() == [wire.Users(number, ("yoda",)) for number in range(2, 10)]
    assert await yoda.event() == wire.Presence("hans", online=True)
    assert await yoda.event() == wire.Presence("hans", online=False)
    await chat.expect_served()


async def test_who_closes_one_half_and_never_reads_is_dropped_in_time(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans = await chat.login("hans")
    await hans.send(*(wire.WhoElseSince(number, 1) for number in range(2, 10_000)))
    hans.transport.send_eof()
    await trio.sleep(2 * limits.DRAIN_SECONDS_MAX)
    with pytest.raises(trio.BrokenResourceError):
        hans.transport.send_nowait(b"\n")
    await chat.expect_served()


async def test_who_was_closed_but_stays_is_dropped_in_time(
    autojump_clock: MockClock, chat: Chat
) -> None:
    client = await chat.connect()
    await client.send_bytes(b"garbage\n")
    await trio.sleep(2 * limits.DRAIN_SECONDS_MAX)
    with pytest.raises(trio.BrokenResourceError):
        client.transport.send_nowait(b"\n")
    await chat.expect_served()


# -- Clients that do not read --------------------------------------------------------------------


async def test_who_sends_a_hundred_thousand_requests_and_never_reads_is_closed_as_slow(
    autojump_clock: MockClock,
) -> None:
    async with running_chat(requests_per_second=0) as chat:
        flooder, hans = await chat.login("vader"), await chat.login("hans")
        tracemalloc.start()
        try:
            for start in range(2, 100_000, 1000):
                requests = [wire.WhoElse(number) for number in range(start, start + 1000)]
                await send_what_it_takes(flooder, encode_lines(requests))
                assert await hans.users(wire.WhoElse) in (["vader"], [])
            await chat.expect_served()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * limits.OUTBOX_BYTES_MAX
        assert await flooder.closed() is ErrorCode.SLOW
        assert await hans.expect(wire.Presence) == wire.Presence("vader", online=False)
        await chat.expect_served()


async def test_a_receiver_who_does_not_read_is_closed_as_slow_and_gets_all_at_the_next_login(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    texts = [f"{number} ".ljust(limits.TEXT_BYTES_MAX, "x") for number in range(200)]
    for text in texts:
        await hans.ok(wire.Message, to="yoda", text=text)
        sent = await hans.request(wire.Broadcast, text=text)  # of these there is no window
        assert isinstance(sent, wire.Sent)
    assert await yoda.closed() is ErrorCode.SLOW
    yoda = await chat.login("yoda")
    for text in texts:
        delivery = await yoda.expect(wire.Delivery)
        assert delivery.text == text
        await yoda.acknowledge(delivery.seq)
    await chat.expect_served()


async def test_a_reader_who_is_late_but_comes_loses_nothing(
    autojump_clock: MockClock, chat: Chat
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    for number in range(100):
        await hans.ok(wire.Message, to="yoda", text=f"{number} " + "x" * 1000)
    for number in range(100):
        delivery = await yoda.expect(wire.Delivery)
        assert delivery.text.split()[0] == str(number)
        await yoda.acknowledge(delivery.seq)
    await yoda.expect_nothing()


# -- Too much from one address, or one user ----------------------------------------------------


async def test_one_address_has_so_many_connections_and_keeps_nobody_else_out(
    autojump_clock: MockClock,
) -> None:
    refusal = encode_lines([wire.Error(ErrorCode.TOO_MANY_CONNECTIONS, "Too many")])
    async with running_chat(crowd=Crowd(20, refusal)) as chat:
        silent = [await chat.connect(host=STRANGER) for _ in range(20)]
        for _ in range(100):
            assert await (await chat.connect(host=STRANGER)).closed() is (
                ErrorCode.TOO_MANY_CONNECTIONS
            )
        await chat.greeted(host="192.0.2.8")
        for _ in range(100):
            await chat.expect_served()
        silent.pop().drop()
        await trio.testing.wait_all_tasks_blocked()
        silent.append(await chat.greeted(host=STRANGER))
        assert await (await chat.connect(host=STRANGER)).closed() is ErrorCode.TOO_MANY_CONNECTIONS
        for client in silent:
            client.drop()


async def test_one_address_cannot_have_more_passwords_checked_than_so_many_a_minute(
    autojump_clock: MockClock, chat: Chat
) -> None:
    per_minute = SETTINGS.logins_per_minute
    answers: Counter[ErrorCode] = Counter()
    for _ in range(10):  # minutes
        for number in range(2 * per_minute):
            stranger = await chat.greeted(host=STRANGER)
            reply = await stranger.try_login(f"user{number}", "guess")
            assert isinstance(reply, wire.Error)
            answers[reply.code] += 1
            stranger.drop()
        await chat.expect_served()
        await pause(60)
    assert answers[ErrorCode.TOO_MANY_ATTEMPTS] == 10 * per_minute
    assert (
        answers[ErrorCode.INVALID_PASSWORD]
        + answers[ErrorCode.STILL_BLOCKED]
        + answers[ErrorCode.NOW_BLOCKED]
        == 10 * per_minute
    )


async def test_who_tried_too_often_may_try_again_on_the_same_connection_when_they_were_told(
    autojump_clock: MockClock, chat: Chat
) -> None:
    for _ in range(SETTINGS.logins_per_minute):
        stranger = await chat.greeted(host=STRANGER)
        await stranger.try_login("nobody", "guess")
        stranger.drop()
    hans = await chat.greeted(host=STRANGER)
    for _ in range(2):
        reply = await hans.try_login("hans", password_of("hans"))
        assert reply == wire.Error(
            ErrorCode.TOO_MANY_ATTEMPTS,
            "Too many logins from your address. Please try again in 1 seconds",
            hans.number,
        )
    await pause(1)
    assert await hans.try_login("hans", password_of("hans")) == wire.Ok(3)


async def test_a_flood_delays_only_who_sends_it_and_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    async with running_chat(requests_per_second=100) as chat:
        vader, yoda, hans = [await chat.login(name) for name in ("vader", "yoda", "hans")]
        before = trio.current_time()
        count = 3000
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def flood() -> None:
                await vader.send(*(wire.Broadcast(id, f"{id}") for id in range(2, count + 2)))

            for id in range(2, count + 2):
                assert (await yoda.expect(wire.Announcement)).text == f"{id}"
                assert await vader.reply(id) == wire.Sent(id, complete=True)
                if id % 100 == 0:
                    asked = trio.current_time()
                    assert await hans.users(wire.WhoElse) == ["vader", "yoda"]
                    assert trio.current_time() == asked
        work = count * (1 + 2 / limits.REQUEST_RECEIVERS_MAX)  # each goes to two others
        lines = [wire.Announcement("vader", "pc-vader", id, f"{id}") for id in range(2, count + 2)]
        work += len(encode_lines(lines)) / limits.REQUEST_BYTES_MAX
        seconds = (work - 100 * limits.REQUESTS_BURST_SECONDS) / 100
        # What one read has brought is handled before the pause.
        assert seconds - 30 < trio.current_time() - before <= seconds


async def test_what_one_user_sends_to_the_disk_is_slow_and_nobody_else_is(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORED_BYTES_PER_SECOND_MAX", 100 * 1000)
    monkeypatch.setattr(limits, "STORED_BYTES_BURST_MAX", 1000 * 1000)
    text = "x" * (1000 - ROW_BYTES)
    async with running_chat(requests_per_second=1_000_000) as chat:
        vader, hans, luke = [await chat.login(name) for name in ("vader", "hans", "luke")]
        async with trio.open_nursery() as nursery:
            begun = trio.current_time()

            @nursery.start_soon
            async def fill() -> None:
                # Not all at once: what was read before the first commit is not held back.
                for id in range(2, 2002):
                    await vader.send(wire.Message(id, "yoda", text))
                    await vader.reply(id)

            for _ in range(50):
                before = trio.current_time()
                await hans.tell(luke, "luke", "hello")
                assert trio.current_time() == before
                await pause(0.1)
        assert trio.current_time() - begun == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("user", ["hans", "luke"])
async def test_who_was_charged_for_too_much_is_not_forgiven_on_another_connection(
    autojump_clock: MockClock, user: str
) -> None:
    async with running_chat(requests_per_second=100) as chat:
        yoda, hans = await chat.login("yoda"), await chat.login("hans")
        text = "x" * (100 * 20 * limits.REQUEST_BYTES_MAX // 8)  # 20 seconds' worth in all
        await hans.send(*(wire.Broadcast(id, text) for id in range(2, 10)))
        hans.drop()
        while await yoda.event() != wire.Presence("hans", online=False):
            pass
        again = await chat.login(user)
        before = trio.current_time()
        await again.send(*(wire.WhoElse(id) for id in range(2, 502)))
        for id in range(2, 502):
            await again.reply(id)
        took = trio.current_time() - before
        assert (took > 4) == (user == "hans")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda id: wire.Broadcast(id, "x" * limits.TEXT_BYTES_MAX), id="long"),
        pytest.param(lambda id: wire.Broadcast(id, "\x01" * 4000), id="escaped"),
        pytest.param(lambda id: wire.Broadcast(id, "x"), id="short"),
        pytest.param(lambda id: wire.Introduce(id, "yoda", "0" * 32), id="introductions"),
    ],
)
async def test_nobody_can_log_others_out_by_having_too_much_sent_to_them(
    autojump_clock: MockClock, chat: Chat, flood: Callable[[int], wire.Request]
) -> None:
    hans, yoda = await chat.login("hans"), await chat.login("yoda")
    certificate = bytes(limits.PEER_CERTIFICATE_BYTES_MAX)
    for client in (hans, yoda):
        await client.send(wire.Listening(4001, certificate))
    data = encode_lines([flood(id) for id in range(2, 2002)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hans.send_bytes, data)
        await pause(0.1)  # in which yoda reads nothing
        nursery.cancel_scope.cancel()
    hans.drop()
    while await yoda.event() != wire.Presence("hans", online=False):
        pass  # what hans has sent until then
    assert await yoda.users(wire.WhoElse) == []


# -- Segmentation --------------------------------------------------------------------------------

AT_ONCE: list[wire.Request] = [
    wire.WhoElse(2),
    wire.Message(3, "nobody", "grüße 😀"),
    wire.Active(),
    wire.Block(4, "hans"),
    wire.Ack(7),
    wire.Broadcast(5, "hello"),
    wire.WhoElseSince(6, 5.5),
]
FROM_DISK: list[wire.Request] = [
    wire.Message(7, "yoda", "grüße 😀"),
    wire.Block(8, "vader"),
    wire.Block(9, "vader"),
]
CONVERSATIONS = [
    encode_lines(AT_ONCE + FROM_DISK),
    # What waits for the disk when its connection ends is not answered any more, so not here.
    encode_lines([*AT_ONCE, wire.Logout(7), wire.WhoElse(8)]),
    encode_lines(AT_ONCE) + b"garbage\n" + encode_lines([wire.WhoElse(8)]),
    encode_lines(AT_ONCE) + b"x" * limits.LINE_BYTES_MAX + b"\n",
]


async def _replies(data: bytes, cuts: list[int]) -> list[str]:
    """What the server answers to these bytes when they arrive in these pieces."""
    async with running_chat() as chat:
        hans = await chat.login("hans")
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            await send_what_it_takes(hans, data[start:end])
            await trio.testing.wait_all_tasks_blocked()
        hans.transport.send_eof()
        return [repr(message) for message in await hans.last_words()]


@settings(max_examples=30)
@given(
    data=st.sampled_from(CONVERSATIONS),
    parts=st.lists(st.floats(0, 1), max_size=20).map(sorted),
)
def test_the_same_bytes_in_any_pieces_give_the_same_replies(
    data: bytes, parts: list[float]
) -> None:
    async def scenario() -> None:
        whole = await _replies(data, [])
        pieces = await _replies(data, [int(part * len(data)) for part in parts])
        # A reply that waits for the disk may be overtaken, so their order may differ.
        assert sorted(pieces) == sorted(whole)
        assert len(whole) >= 6

    in_virtual_time(scenario)
