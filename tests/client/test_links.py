"""Private messaging as people see it (section 3.4): whole clients, a real server, no sockets."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client import render
from trio_chat.client.chat import LOGOUT_SECONDS_MAX
from trio_chat.client.links import Links
from trio_chat.client.status import Board
from trio_chat.errors import ErrorCode
from trio_chat.net.transport import ListenError

from .party import Guest, Party, open_party
from .peers import Network
from .scripted import ScriptedTerminal

STARTED = "Start private messaging with "
SERVER_GONE = "The server has closed the connection"
GOES_ON = "Private messaging and transfers go on; 'logout' ends them"


@pytest.fixture
async def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Party, None]:
    async with open_party(tmp_path, monkeypatch) as party:
        yield party


async def _start(one: Guest, other: Guest) -> None:
    await one.says(f"startprivate {other.user}", STARTED + other.user)


async def _exchange(one: Guest, other: Guest) -> None:
    """There is a link between them, and it works both ways."""
    await one.says(f"private {other.user} hey dude")
    await other.sees(f"{one.user}(private): hey dude")
    await other.says(f"private {one.user} hello")
    await one.sees(f"{other.user}(private): hello")


# -- startprivate ----------------------------------------------------------------------------


async def test_it_is_confirmed_and_works_both_ways(party: Party, autojump_clock: MockClock) -> None:
    """Example 7 of section 8."""
    hans, yoda, luke = await party.join("hans", "yoda", "luke")
    await hans.says("private luke hey dude", "Error. Private messaging to luke not enabled")
    await _start(hans, luke)
    await _exchange(hans, luke)
    hans.type("message yoda force is strong")
    await yoda.sees("hans: force is strong")
    await party.settle()
    await hans.logs_out()
    await yoda.sees("hans logged out")
    await luke.sees("hans logged out")
    await party.settle(10)


@pytest.mark.parametrize(
    ("user", "error"),
    [
        ("hans", "Error. Cannot start private messaging with self"),
        ("bob", "Error. Invalid user"),
        ("vader", "Error. vader is offline"),
    ],
)
async def test_it_needs_another_user_who_is_online(
    party: Party, autojump_clock: MockClock, user: str, error: str
) -> None:
    (hans,) = await party.join("hans")
    await hans.says(f"startprivate {user}", error)
    await hans.says("startprivate", "Error. Usage: startprivate <user>")
    refusal = render.private_self() if user == "hans" else render.private_not_enabled(user)
    await hans.says(f"private {user} hi", *refusal.lines)
    await party.settle(10)


async def test_who_is_blocked_learns_nothing_else(party: Party, autojump_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    await luke.says("block hans", "hans is blocked")
    await hans.says("startprivate luke", "Error. luke has blocked you")
    await luke.logs_out()
    await hans.says("startprivate luke", "Error. luke has blocked you")


async def test_a_block_stops_new_links_and_not_the_one_there_is(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    await luke.says("block hans", "hans is blocked")
    await _exchange(hans, luke)
    await hans.says("stopprivate luke", "Stop private messaging with luke")
    await luke.sees("hans has stopped private messaging")
    await hans.says("startprivate luke", "Error. luke has blocked you")
    await _start(luke, hans)
    await _exchange(luke, hans)


async def test_it_is_started_once(party: Party, autojump_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    await hans.says("startprivate luke", "Error. Private messaging with luke already started")
    await luke.says("startprivate hans", "Error. Private messaging with hans already started")
    await _exchange(luke, hans)
    hans.type("stopprivate luke", "startprivate luke", "startprivate luke")
    await hans.sees(
        "Stop private messaging with luke",
        "Error. Private messaging with luke already started",
        STARTED + "luke",
    )
    await luke.sees("hans has stopped private messaging")
    await _exchange(hans, luke)


async def test_a_line_for_a_link_that_is_about_to_be_waits_for_it(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 2.0
    hans, luke = await party.join("hans", "luke")
    hans.type("startprivate luke", "private luke hey dude", "stopprivate luke")
    await hans.sees(STARTED + "luke", "Stop private messaging with luke")
    await luke.sees("hans(private): hey dude", "hans has stopped private messaging")


async def test_three_users_have_three_links(party: Party, autojump_clock: MockClock) -> None:
    guests = await party.join("hans", "yoda", "luke")
    for number, guest in enumerate(guests):
        await _start(guest, guests[number - 1])
    for number, guest in enumerate(guests):
        await _exchange(guest, guests[number - 1])
    assert len(party.network.transports) == 3


async def test_who_cannot_listen_is_told_and_chats_on(
    party: Party, autojump_clock: MockClock
) -> None:
    luke, hans = await party.join("luke"), await party.open("hans")
    hans.peering.failure = ListenError("port 5000 is in use")
    await hans.log_in()
    await hans.says("startprivate luke", ErrorCode.PEER_NOT_LISTENING.describe(user="hans"))
    await luke[0].sees("hans logged in")
    text = ErrorCode.PEER_NOT_LISTENING.describe(user="hans")
    await luke[0].says("startprivate hans", text)
    assert "Private messaging is off: port 5000 is in use" in [
        line for batch in hans.person.batches for line in batch
    ]


# -- Both at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("delay_seconds", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("hans_late", [-1.0, -0.2, -0.001, 0.0, 0.001, 0.2, 1.0])
@pytest.mark.parametrize("seed", range(6))
async def test_if_both_start_there_is_one_link_and_both_are_told(
    party: Party,
    autojump_clock: MockClock,
    delay_seconds: float,
    hans_late: float,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Which task runs first is chance, but the same each time.
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    trio._core._run._r.seed(seed)
    party.network.delay_seconds = delay_seconds
    hans, yoda = await party.join("hans", "yoda")
    first, second = (hans, yoda) if hans_late < 0 else (yoda, hans)
    first.type(f"startprivate {second.user}")
    await trio.sleep(abs(hans_late))
    for _ in range(seed % 4 * 3):
        await trio.lowlevel.checkpoint()
    second.type(f"startprivate {first.user}")
    await trio.sleep(9)
    told = 0
    for guest, other in ((hans, "yoda"), (yoda, "hans")):
        already = f"Error. Private messaging with {other} already started"
        assert guest.person.screen in ([STARTED + other], [already])
        told += guest.person.screen == [STARTED + other]
        guest.person.screen.clear()
    assert told >= (1 if abs(hans_late) < 0.001 or delay_seconds < abs(hans_late) else 2)
    await party.settle()
    await _exchange(hans, yoda)
    is_open = [not (a._closed or b._closed) for a, b in party.network.transports]
    assert is_open.count(True) == 1


async def test_who_waits_for_somebody_that_cannot_come_goes_there(
    party: Party, autojump_clock: MockClock
) -> None:
    """Hans's client knows that yoda is about to connect, and yoda's can't."""
    hans, yoda = await party.join("hans", "yoda")
    party.network.cut.add(hans.peering.port)
    yoda.type("startprivate hans")
    await trio.sleep(1)
    hans.type("startprivate yoda")
    await trio.sleep(6)
    await hans.sees(STARTED + "yoda")
    await yoda.sees(STARTED + "hans")
    await _exchange(hans, yoda)


async def test_a_start_that_is_refused_does_not_stop_that_of_the_other(
    party: Party, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both start, but yoda has blocked hans, whose client would be the one to connect."""
    hans, yoda = await party.join("hans", "yoda")
    await yoda.says("block hans", "hans is blocked")
    hans.type("startprivate yoda")
    yoda.type("startprivate hans")
    await hans.sees("Error. yoda has blocked you")
    await yoda.sees(STARTED + "hans")
    await _exchange(hans, yoda)


async def test_the_server_may_be_slower_than_a_link(
    party: Party, autojump_clock: MockClock
) -> None:
    """What it says of the other's start comes when the link is there; the link stays."""
    hans, yoda = await party.join("hans", "yoda")
    yoda.transport.capacity_bytes = 0  # what yoda sends to the server stays on its way
    yoda.type("startprivate hans")
    await wait_all_tasks_blocked()
    hans.type("startprivate yoda")
    await hans.sees(STARTED + "yoda")
    await yoda.sees(STARTED + "hans")
    yoda.transport.capacity_bytes = limits.RECEIVE_BYTES_MAX
    yoda.transport._room.set()
    await party.settle(5)
    await _exchange(hans, yoda)


# -- When there is no way --------------------------------------------------------------------


async def test_a_firewall_is_told_of_once_within_ten_seconds(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    party.network.cut.add(luke.peering.port)
    hans.type("startprivate luke", "private luke hey dude")
    before = trio.current_time()
    where = f"127.0.0.1:{luke.peering.port}"
    await hans.sees(
        f"Error. Private messaging with luke failed: no answer from {where} within 10 seconds. If a"
        " firewall is in between, luke may try 'startprivate hans'; 'message luke ...' goes"
        " through the server",
        "Error. Private messaging to luke not enabled",
    )
    assert trio.current_time() - before <= limits.PEER_CONNECT_SECONDS_MAX
    await party.settle(10)
    await _start(luke, hans)
    await _exchange(luke, hans)


@pytest.mark.parametrize("problem", ["gone", "another certificate"])
async def test_whoever_does_not_answer_as_expected_is_told_of(
    party: Party, autojump_clock: MockClock, problem: str
) -> None:
    hans, luke = await party.join("hans", "luke")
    if problem == "gone":
        del party.network.clients[luke.peering.port]
        reason = f"no connection to 127.0.0.1:{luke.peering.port}"
    else:
        luke.peering.certificate = b"another one"
        reason = (
            f"no safe connection to 127.0.0.1:{luke.peering.port}: it shows another certificate"
        )
    await hans.says("startprivate luke", *render.private_unreachable("luke", "hans", reason).lines)
    await party.settle(10)


async def test_a_server_that_does_not_answer_is_told_of(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    hans.transport.capacity_bytes = 0
    hans.type("startprivate luke")
    await trio.sleep(10)
    await hans.sees("Error. Private messaging with luke failed: the server does not answer")
    hans.transport.capacity_bytes = limits.RECEIVE_BYTES_MAX
    hans.transport._room.set()
    await party.settle(10)
    assert luke.person.screen == []


# -- Its end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [0, 1])
async def test_either_side_can_stop_it_and_the_other_is_told(
    party: Party, autojump_clock: MockClock, stops: int
) -> None:
    hans, luke = await party.join("hans", "luke")
    await hans.says("stopprivate luke", "Error. Private messaging with luke is not active")
    await _start(hans, luke)
    stopping, other = (hans, luke) if stops == 0 else (luke, hans)
    await stopping.says(f"stopprivate {other.user}", f"Stop private messaging with {other.user}")
    await other.sees(f"{stopping.user} has stopped private messaging")
    for one, to in ((hans, "luke"), (luke, "hans")):
        await one.says(f"private {to} hi", f"Error. Private messaging to {to} not enabled")
        await one.says(f"stopprivate {to}", f"Error. Private messaging with {to} is not active")
    await party.settle(10)
    await _start(luke, hans)
    await _exchange(hans, luke)


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("started_by_hans", [False, True])
async def test_who_leaves_ends_it_and_the_other_is_told_once(
    party: Party, autojump_clock: MockClock, kill: bool, started_by_hans: bool
) -> None:
    hans, luke = await party.join("hans", "luke")
    await (_start(hans, luke) if started_by_hans else _start(luke, hans))
    if kill:
        hans.kill()
    else:
        await hans.logs_out()
    await luke.sees("hans logged out")
    await party.settle(10)
    (gone,) = render.private_gone("hans").lines
    await luke.says("private hans hi", gone)
    await luke.says("stopprivate hans", "Error. Private messaging with hans is not active")
    await luke.says("startprivate hans", "Error. hans is offline")
    await luke.says("private hans hi", gone)


@pytest.mark.parametrize("kill", [False, True])
async def test_if_the_server_does_not_say_so_the_client_does(
    party: Party, autojump_clock: MockClock, kill: bool
) -> None:
    """Luke is blocked, so the server does not tell him of hans's presence."""
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    await hans.says("block luke", "luke is blocked")
    if kill:
        hans.kill()
    else:
        await hans.logs_out()
    reason = "the connection was lost" if kill else "the other user has logged out"
    before = trio.current_time()
    await luke.sees(f"Private messaging with hans has ended: {reason}")
    assert trio.current_time() - before <= 1
    await party.settle(10)


async def test_a_sender_is_told_what_was_not_acknowledged(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    ours, _ = party.network.transports[0]
    ours.capacity_bytes = 0  # nothing gets through any more
    hans.type("private luke one")
    await trio.sleep(10)
    hans.type("private luke two")
    await hans.sees(
        "Error. Your last 2 private messages to luke may not have arrived",
        "Private messaging with luke has ended: the other client does not answer",
    )
    await luke.sees("Private messaging with hans has ended: the connection was lost")
    await hans.says("private luke three", *render.private_gone("luke").lines)


async def test_who_logs_out_is_told_it_too(party: Party, autojump_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    ours, _ = party.network.transports[0]
    ours.capacity_bytes = 0
    hans.type("private luke one", "logout")
    assert await hans.end() == 0
    await hans.sees("Error. Your last private message to luke may not have arrived")
    await luke.sees("hans logged out")


async def test_a_link_whose_end_is_under_way_takes_nothing_more(
    party: Party, autojump_clock: MockClock
) -> None:
    """Hans stops, and his client waits for luke's, which is not there any more."""
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    ours, _ = party.network.transports[0]
    ours.capacity_bytes = 0
    hans.type("stopprivate luke", "stopprivate luke", "private luke hi", "startprivate luke")
    await hans.sees(
        "Stop private messaging with luke",
        "Error. Private messaging with luke is not active",
        "Error. Private messaging to luke not enabled",
        STARTED + "luke",
    )
    await _exchange(hans, luke)


async def test_a_new_link_replaces_one_whose_end_was_not_noticed(
    party: Party, autojump_clock: MockClock
) -> None:
    """As after a pulled cable: luke's client still has the link to hans's first one."""
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    ours, theirs = party.network.transports[0]
    ours._other, theirs.capacity_bytes = None, 0  # the cable
    hans.kill()
    await luke.sees("hans logged out")
    (again,) = await party.join("hans")
    await luke.says("private hans are you there?")
    await _start(again, luke)
    await luke.sees("Error. Your last private message to hans may not have arrived")
    await _exchange(again, luke)
    await party.settle(60)
    assert ours._closed
    assert theirs._closed


async def test_a_link_that_was_replaced_may_end_after_the_one_that_has_replaced_it(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    ours, theirs = party.network.transports[0]
    ours._other, theirs.capacity_bytes = None, 0  # the cable
    hans.kill()
    await luke.sees("hans logged out")
    (again,) = await party.join("hans")
    await luke.says("private hans are you there?")
    luke.person.slow_seconds = 10
    await _start(again, luke)
    await luke.sees("Error. Your last private message to hans may not have arrived")
    await again.says("stopprivate luke", "Stop private messaging with luke")
    await luke.sees("hans has stopped private messaging")
    await party.settle(60)
    await _start(again, luke)
    await _exchange(again, luke)


# -- Without the server ----------------------------------------------------------------------


async def _server_goes(party: Party, how: str) -> str:
    if how == "crash":
        await party.server.crash()
        return SERVER_GONE
    await party.server.stop()
    return ErrorCode.STOPPING.text


@pytest.mark.parametrize("how", ["crash", "stop"])
async def test_links_go_on_when_the_server_is_gone(
    party: Party, autojump_clock: MockClock, how: str
) -> None:
    hans, yoda, luke = await party.join("hans", "yoda", "luke")
    await _start(hans, luke)
    line = await _server_goes(party, how)
    await hans.sees(line, GOES_ON)
    await luke.sees(line, GOES_ON)
    assert await yoda.end() == 1
    await yoda.sees(line)
    await party.settle(100)

    await _exchange(hans, luke)
    await hans.says("message yoda hi", *render.no_server().lines)
    await hans.says("whoelse", *render.no_server().lines)
    await hans.says("mistyped", "Error. Invalid command")
    await hans.says(
        "startprivate yoda", "Error. Private messaging with yoda failed: the server has gone"
    )
    await hans.logs_out()
    await luke.sees("Private messaging with hans has ended: the other user has logged out")
    assert await luke.end() == 1
    await party.settle()


async def test_without_server_a_stop_ends_both(party: Party, autojump_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    await _server_goes(party, "crash")
    for guest in (hans, luke):
        await guest.sees(SERVER_GONE, GOES_ON)
    await hans.says("stopprivate luke", "Stop private messaging with luke")
    await luke.sees("hans has stopped private messaging")
    assert (await hans.end(), await luke.end()) == (1, 1)
    await party.settle()


async def test_requests_that_had_no_answer_are_told_of_when_the_server_goes(
    party: Party, autojump_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await _start(hans, luke)
    hans.transport.capacity_bytes = 0
    hans.type("whoelse", "message luke hi")
    await wait_all_tasks_blocked()
    await _server_goes(party, "crash")
    (gone,) = render.with_unanswered([render.server_gone(SERVER_GONE)], 2)
    await hans.sees(*gone.lines, GOES_ON)
    await luke.sees(SERVER_GONE, GOES_ON)
    hans.type("logout")
    assert await hans.end() == 1
    await luke.sees("Private messaging with hans has ended: the other user has logged out")


async def test_a_second_signal_does_not_wait_for_a_peer_that_does_not_answer(
    party: Party, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, signals = trio.open_memory_channel[int](1)
    (luke,) = await party.join("luke")
    monkeypatch.setattr(trio, "open_signal_receiver", lambda *_: nullcontext(signals))
    (hans,) = await party.join("hans")
    await _start(hans, luke)
    for transport in party.network.transports[0]:
        transport.capacity_bytes = 0
    hans.type("private luke hi")
    await wait_all_tasks_blocked()
    send.send_nowait(signal.SIGINT)
    await luke.sees("hans logged out")
    before = trio.current_time()
    await trio.sleep(LOGOUT_SECONDS_MAX / 2)
    assert hans.status is None
    send.send_nowait(signal.SIGINT)
    assert await hans.end() == 130
    assert trio.current_time() == before + LOGOUT_SECONDS_MAX / 2
    await party.settle(10)


async def test_a_person_goes_on_while_a_link_is_made_and_nothing_is_lost_at_the_logout(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 2.0
    hans, luke = await party.join("hans", "luke")
    before = trio.current_time()
    hans.type("startprivate luke", "private luke hey dude", "whoelse")
    await hans.sees("luke")
    assert trio.current_time() == before
    hans.type("logout")
    await luke.sees("hans(private): hey dude", "hans logged out")
    assert await hans.end() == 0
    await hans.sees(STARTED + "luke")


async def test_who_leaves_before_a_link_is_made_learns_what_was_not_sent(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 9.0
    hans, luke = await party.join("hans", "luke")
    hans.type("startprivate luke", "private luke one", "private luke two", "logout")
    assert await hans.end() == 0
    await hans.sees("Error. Your last 2 private messages to luke may not have arrived")
    await luke.sees("hans logged out")


async def test_what_is_said_to_a_link_on_its_way_keeps_its_order(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 2.0
    hans, luke = await party.join("hans", "luke")
    hans.type("startprivate luke", "private luke one", "stopprivate luke", "startprivate luke")
    hans.type("private luke two", "startprivate luke")
    await hans.sees(STARTED + "luke", "Stop private messaging with luke", STARTED + "luke")
    await hans.sees("Error. Private messaging with luke already started")
    await luke.sees(
        "hans(private): one", "hans has stopped private messaging", "hans(private): two"
    )


async def test_so_many_links_are_made_at_a_time(
    party: Party, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINKS_STARTING_MAX", 1)
    party.network.delay_seconds = 2.0
    hans, *_ = await party.join("hans", "luke", "yoda")
    hans.type("startprivate luke", "startprivate yoda", "whoelse")
    await hans.sees(STARTED + "luke", "luke", "yoda", STARTED + "yoda")


# -- Redirected input ------------------------------------------------------------------------


async def test_a_script_is_answered_while_a_link_is_made(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 2.0
    (luke,) = await party.join("luke")
    hans = await party.open("hans", interactive=False)
    await hans.log_in()
    await luke.sees("hans logged in")
    hans.type("startprivate luke", "private luke hi", "whoelse", "wait", "private luke all done")
    await hans.sees("luke", STARTED + "luke")
    hans.type("logout")
    await luke.sees("hans(private): hi", "hans(private): all done", "hans logged out")
    assert await hans.end() == 0


async def test_a_script_starts_sends_and_waits_for_acknowledgements(
    party: Party, autojump_clock: MockClock
) -> None:
    party.network.delay_seconds = 2.0
    (luke,) = await party.join("luke")
    hans = await party.open("hans", interactive=False)
    await hans.log_in()
    await luke.sees("hans logged in")
    hans.type("startprivate luke", *(f"private luke {number}" for number in range(1000)))
    hans.person.type_end()
    await luke.sees(*(f"hans(private): {number}" for number in range(1000)), "hans logged out")
    assert await hans.end() == 0
    await hans.sees(STARTED + "luke")
    await party.settle()


async def test_its_messages_that_nobody_acknowledges_are_told_of(
    party: Party, autojump_clock: MockClock
) -> None:
    (luke,) = await party.join("luke")
    hans = await party.open("hans", interactive=False)
    await hans.log_in()
    hans.type("startprivate luke")
    await hans.sees(STARTED + "luke")
    party.network.transports[0][0].capacity_bytes = 0
    hans.type("private luke hi")
    hans.person.type_end()
    assert await hans.end() == 0
    await hans.sees(
        "Error. Your last private message to luke may not have arrived",
        "Private messaging with luke has ended: the other client does not answer",
    )
    luke.person.screen.clear()


async def test_a_start_at_the_very_end_is_no_start(autojump_clock: MockClock) -> None:
    """The client may have ended already when the line that was typed last comes to its turn."""
    ended = False
    async with trio.open_nursery() as nursery:
        terminal = ScriptedTerminal()
        links = Links(Network().client(), terminal.show, _never, Board(terminal.status))
        await nursery.start(links.run)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        try:
            await links.start("hans")
        finally:
            ended = isinstance(sys.exc_info()[1], trio.Cancelled)
    assert ended


async def _never(request: object) -> NoReturn:
    raise AssertionError("the server is not asked")
