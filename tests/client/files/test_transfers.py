"""Files between whole clients, with a server in memory: what the persons see."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.client.party import Guest, Party, open_party
from tests.client.scripted import ScriptedTerminal
from trio_chat import limits
from trio_chat.client.chat import Chat
from trio_chat.client.files import outlook, serving, transfers
from trio_chat.client.files.disk import BusyError, PartFile, hash_file, read_span
from trio_chat.client.files.shelf import Shelf
from trio_chat.client.files.sources import ConnectError
from trio_chat.client.meanings import Numbered
from trio_chat.client.status import Board, Status
from trio_chat.client.terminal import TerminalGone
from trio_chat.errors import ErrorCode
from trio_chat.net.transport import BulkTransport
from trio_chat.protocol import messages as wire
from trio_chat.swarm.pieces import PieceSet

from .samples import seconds_max, until

SIZE = 200_000


@pytest.fixture
async def party(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_clock: MockClock
) -> AsyncIterator[Party]:
    async with open_party(tmp_path, monkeypatch) as opened:
        yield opened


def make(party: Party, name: str = "a.bin", size: int = SIZE, within: str = "shared") -> Path:
    path = party.directory / within / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def downloads(party: Party, user: str) -> Path:
    return party.directory / f"downloads of {user}"


def _tells_of(status: Status, text: str) -> bool:
    return any(text in line for notice in status.transfers for line in notice.lines)


async def sees(guest: Guest, pattern: str) -> re.Match[str]:
    """Wait until such a line is on the screen; forget what stands above it."""
    found: list[re.Match[str]] = []

    def look() -> bool:
        found[:] = [hit for line in guest.person.screen if (hit := re.fullmatch(pattern, line))]
        return bool(found)

    try:
        await until(look)
    except trio.TooSlowError:
        raise AssertionError(f"{pattern!r} is not on {guest.person.screen}") from None
    del guest.person.screen[: guest.person.screen.index(found[0].string) + 1]
    return found[0]


async def register(guest: Guest, path: Path) -> None:
    guest.type(f'register "{path}"')
    await sees(guest, rf"Ok\. {re.escape(path.name)} (is|was) registered.*")


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def fetched(party: Party, guest: Guest, path: Path) -> str:
    """Wait until it is downloaded; return from whom."""
    hit = await sees(guest, rf"Downloaded {re.escape(path.name)}, .*; from (.*): .*")
    assert _same(downloads(party, guest.user) / path.name, path)
    return hit[1]


async def test_a_file_goes_from_one_to_all(party: Party, fast_clock: MockClock) -> None:
    hans, luke, yoda, vader = await party.join("hans", "luke", "yoda", "vader")
    path = make(party)
    await register(hans, path)
    luke.type("searchFile a.bin")
    await sees(luke, r"Available: a\.bin, 195\.3 KiB")
    await sees(luke, "hans: all 10 chunks")
    for guest in (luke, yoda, vader):
        guest.type("download a.bin")
    for guest in (luke, yoda, vader):
        await fetched(party, guest, path)
    hans.type("searchFile a.bin")
    for user in ("hans", "luke", "yoda", "vader"):
        await sees(hans, f"{user}: all 10 chunks")


async def test_chunks_come_from_whom_they_were_asked_of(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke, yoda, vader = await party.join("hans", "luke", "yoda", "vader")
    path = make(party)
    await register(hans, path)
    await register(yoda, path)
    luke.type("private hans download a.bin 3")
    await sees(luke, "Error. Private messaging to hans not enabled")
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    luke.type("private hans download a.bin 3")
    await sees(luke, "Downloaded chunk 3 of a.bin from hans")
    luke.type("private hans download a.bin 2-4,7")
    await sees(luke, "Downloaded chunks 2-4,7 of a.bin from hans")
    luke.type("private hans download a.bin 11")
    await sees(luke, r"Error\. Cannot download a\.bin: The file has the chunks 1 to 10.*")
    hans.type("searchChunk a.bin 1-3")
    await sees(hans, "luke: chunks 2-3 of 10")
    vader.type("startprivate luke")
    await sees(vader, "Start private messaging with luke")
    vader.type("private luke download a.bin 9")
    await sees(vader, "Error. Cannot download a.bin: luke does not have that")
    assert list(downloads(party, "luke").glob("*.bin")) == []


async def test_downloads_are_listed_cancelled_and_go_on(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    hans_port = hans.peering.port
    party.network.cut.add(hans_port)
    luke.type("downloads", "download a.bin")
    await sees(luke, "There were no downloads")
    await until(lambda: any(_tells_of(status, "a.bin [") for status in luke.person.statuses))
    luke.type("download a.bin", "downloads", "cancel b.bin", "cancel a.bin")
    await sees(luke, "Error. a.bin is being downloaded already")
    await sees(luke, r"a\.bin \[ {20}\]   0% 0 bytes/s, 0 peers")
    await sees(luke, "Error. b.bin is not being downloaded")
    await sees(luke, "a.bin was cancelled; 'download' goes on with it")
    await until(lambda: luke.person.statuses[-1].transfers == ())
    luke.type("downloads", "cancel a.bin")
    await sees(luke, "a.bin: cancelled")
    await sees(luke, "Error. a.bin is not being downloaded")
    party.network.cut.clear()
    luke.type("download a.bin")
    assert await fetched(party, luke, path) == "hans 100%"
    luke.type("downloads", "download a.bin")
    await sees(luke, "a.bin: complete")
    await sees(luke, r"Error\. Cannot download a\.bin: you have it already: .*")


async def test_where_output_is_redirected_progress_is_lines(
    party: Party, fast_clock: MockClock
) -> None:
    (hans,) = await party.join("hans")
    path = make(party)
    await register(hans, path)
    party.network.cut.add(hans.peering.port)
    luke = await party.open("luke", interactive=False)
    luke.type("luke", "secret-luke", "download a.bin")
    await sees(luke, r"a\.bin \[ {20}\]   0% .*")
    party.network.cut.clear()
    assert await fetched(party, luke, path) == "hans 100%"


async def test_a_script_is_answered_while_it_downloads_and_can_cancel(
    party: Party, fast_clock: MockClock
) -> None:
    (hans,) = await party.join("hans")
    path = make(party)
    await register(hans, path)
    party.network.cut.add(hans.peering.port)
    luke = await party.open("luke", interactive=False)
    luke.type("luke", "secret-luke", "download a.bin", "whoelse")
    await sees(luke, "hans")
    luke.type("downloads")
    await sees(luke, "Sent to others: 0 bytes")
    luke.type("cancel a.bin", "download a.bin", "cancel a.bin", "cancel a.bin", "wait", "whoelse")
    cancelled = "a.bin was cancelled; 'download' goes on with it"
    await sees(luke, "Error. a.bin is not being downloaded")
    await sees(luke, "hans")
    cancellations = [notice for notice in luke.person.notices if notice.lines == (cancelled,)]
    assert len(cancellations) == 2


async def test_at_its_end_a_script_waits_for_what_it_began(
    party: Party, fast_clock: MockClock
) -> None:
    (hans,) = await party.join("hans")
    path = make(party)
    await register(hans, path)
    other = make(party, "b.bin")
    for end in (["logout"], []):
        luke = await party.open("luke", interactive=False)
        luke.type("luke", "secret-luke", f'register "{other}"', "download a.bin")
        luke.type(*end)
        luke.person.type_end()
        assert await luke.end() == 0
        lines = "\n".join(luke.person.screen)
        assert "Downloaded a.bin" in lines
        assert "Ok. b.bin " in lines
        (downloads(party, "luke") / "a.bin").unlink()


async def test_a_chunk_that_waits_for_a_link_can_be_cancelled_too(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    party.network.delay_seconds = 2.0
    luke.type("startprivate hans", "private hans download a.bin 3", "downloads", "cancel a.bin")
    await sees(luke, "a.bin: waiting")
    await sees(luke, "Chunk 3 of a.bin was cancelled; what is here of it stays")
    luke.type("private hans download a.bin 3")
    await sees(luke, "Start private messaging with hans")
    await sees(luke, "Downloaded chunk 3 of a.bin from hans")


async def test_a_chunk_needs_the_link_that_was_on_its_way(
    party: Party, fast_clock: MockClock
) -> None:
    (luke,) = await party.join("luke")
    luke.type("startprivate hans", "private hans download a.bin 3")
    await sees(luke, "Error. hans is offline")
    await sees(luke, "Error. Private messaging to hans not enabled")


async def test_downloads_have_their_turns(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DOWNLOADS_ACTIVE_MAX", 1)
    hans, luke = await party.join("hans", "luke")
    paths = [make(party), make(party, "b.bin")]
    for path in paths:
        await register(hans, path)
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin")
    await until(lambda: any(_tells_of(status, "a.bin [") for status in luke.person.statuses))
    luke.type("download b.bin", "downloads")
    await sees(luke, "b.bin: waiting|b.bin: looking for it")
    await sees(luke, r"Error\. Cannot download a\.bin: hans has it, but can't be reached: .*")
    await sees(luke, r"b\.bin: hans has it, but can't be reached: .*")
    party.network.cut.clear()
    assert await fetched(party, luke, paths[1]) == "hans 100%"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("download b.bin", "Error. Cannot download b.bin: Not available"),
        ("download ../../x", "Error. Cannot download ../../x: Not available"),
        ("register /nowhere/x", "Error. there is no file /nowhere/x"),
        ("register /", "Error. / is not a file"),
        ("register " + "x" * 300, r"Error. cannot read .*: File name too long"),
        ("searchFile b.bin", "Not available"),
        ("searchChunk a.bin 0", r"Error. .* no chunk 0"),
    ],
)
async def test_what_can_not_be_done_is_said(
    party: Party, fast_clock: MockClock, line: str, answer: str
) -> None:
    (luke,) = await party.join("luke")
    luke.type(line)
    await sees(luke, answer)


async def test_the_same_file_may_be_registered_twice(party: Party, fast_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    await register(hans, path)
    luke.type("download a.bin")
    await fetched(party, luke, path)


async def test_the_same_bytes_may_have_two_names(party: Party, fast_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    copy = path.with_name("b.bin")
    copy.write_bytes(path.read_bytes())
    await register(hans, path)
    await register(hans, copy)
    await hans.logs_out()
    await sees(luke, "hans logged out")
    await party.join("hans")
    for name in ("a.bin", "b.bin"):
        luke.type(f"searchFile {name}")
        await sees(luke, "hans: all 10 chunks")
    path.unlink()
    luke.type("download a.bin")
    await until((downloads(party, "luke") / "a.bin").exists)


async def test_a_file_comes_from_who_had_only_begun_to_fetch_it(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hans, luke, yoda = await party.join("hans", "luke", "yoda")
    path = make(party)
    await register(hans, path)
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin")
    await until(lambda: any(_tells_of(status, "a.bin [") for status in luke.person.statuses))
    real = yoda.chat._transfers._downloads._connect

    async def only_to_luke(user: str) -> BulkTransport:
        if user != "luke":
            raise ConnectError("nobody answers")
        return await real(user)

    monkeypatch.setattr(yoda.chat._transfers._downloads, "_connect", only_to_luke)
    yoda.type("download a.bin")
    fetchers = luke.chat._transfers.serving._fetchers
    await until(lambda: any(fetcher.early for fetcher, _ in fetchers.values()))
    party.network.cut.clear()
    assert await fetched(party, yoda, path) == "luke 100%"


async def test_two_names_of_the_same_bytes_are_not_fetched_at_once(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    copy = path.with_name("b.bin")
    copy.write_bytes(path.read_bytes())
    await register(hans, path)
    await register(hans, copy)
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin")
    await until(lambda: any(_tells_of(status, "a.bin [") for status in luke.person.statuses))
    luke.type("download b.bin")
    await sees(
        luke,
        "Error. Cannot download b.bin: the same bytes are being downloaded under another name",
    )
    party.network.cut.clear()
    await fetched(party, luke, path)


async def test_a_file_that_is_gone_can_be_fetched_again(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    for _ in range(2):
        luke.type("download a.bin")
        await fetched(party, luke, path)
        (downloads(party, "luke") / "a.bin").unlink()


async def test_a_part_that_is_gone_is_fetched_again(party: Party, fast_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans", "private hans download a.bin 1-5")
    await sees(luke, "Downloaded chunks 1-5 of a.bin from hans")
    for part in downloads(party, "luke").iterdir():
        part.unlink()
    luke.type("download a.bin")
    await fetched(party, luke, path)


async def test_a_part_is_served_on_while_its_download_goes_on(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans", "private hans download a.bin 1-5")
    await sees(luke, "Downloaded chunks 1-5 of a.bin from hans")
    before = list(luke.chat._shelf)
    kept: list[bool] = []
    real = PartFile.verify

    def look(part: PartFile, *args: object) -> PieceSet:
        kept.append(list(luke.chat._shelf) == before)
        return real(part, *args)  # type: ignore[arg-type]  # they are what was given

    monkeypatch.setattr(PartFile, "verify", look)
    luke.type("download a.bin")
    await fetched(party, luke, path)
    assert kept == [True]


async def test_nothing_is_said_to_be_here_of_a_part_that_is_gone(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans", "private hans download a.bin 1-5")
    await sees(luke, "Downloaded chunks 1-5 of a.bin from hans")
    for part in downloads(party, "luke").iterdir():
        part.unlink()
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin")
    await until(lambda: not list(luke.chat._shelf))
    with trio.fail_after(seconds_max()):
        lines = ["luke"]
        while any(line.startswith("luke") for line in lines):  # until the server knows
            hans.type("searchChunk a.bin 1")
            await until(lambda: "hans: chunk 1 of 10" in hans.person.screen)
            lines = list(hans.person.screen)
            hans.person.screen.clear()
    party.network.cut.clear()
    await fetched(party, luke, path)


async def test_who_shares_is_known_again_after_the_next_login(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    await hans.logs_out()
    await sees(luke, "hans logged out")
    luke.type("searchFile a.bin")
    await sees(luke, "Not available")
    await party.join("hans")
    luke.type("download a.bin")
    assert await fetched(party, luke, path) == "hans 100%"


async def test_a_liar_is_named_once(party: Party, fast_clock: MockClock) -> None:
    hans, yoda, luke = await party.join("hans", "yoda", "luke")
    path = make(party)
    bad = make(party, within="bad")
    bad.write_bytes(path.read_bytes())
    await register(hans, path)
    await register(yoda, bad)
    before = bad.stat()
    bad.write_bytes(bytes(SIZE))
    os.utime(bad, ns=(before.st_atime_ns, before.st_mtime_ns))
    luke.type("download a.bin")
    await sees(luke, "yoda sends wrong bytes for a.bin, and is not asked any more")
    await fetched(party, luke, path)
    assert not any("wrong bytes" in line for line in luke.person.screen)


async def test_a_file_that_has_changed_is_not_shared_any_more(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    os.utime(path, (1, 1))
    luke.type("download a.bin")
    await sees(hans, r"a\.bin is not shared any more: .* was changed since it was registered")
    luke.type("cancel a.bin")
    await sees(luke, "a.bin was cancelled; 'download' goes on with it")
    luke.type("searchFile a.bin")
    await sees(luke, "Not available")


async def test_a_file_that_can_not_be_read_just_now_is_shared_on(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    failures: list[Path] = []

    def fail_once(where: Path, *args: object) -> None:
        if not failures:
            failures.append(where)
            raise BusyError(f"cannot read {where}: Too many open files")
        read_span(where, *args)  # type: ignore[arg-type]  # they are what was given

    monkeypatch.setattr(serving, "read_span", fail_once)
    luke.type("download a.bin")
    assert await fetched(party, luke, path) == "hans 100%"
    assert failures == [path]
    assert not any("not shared" in line for line in hans.person.screen)


@pytest.mark.parametrize("code", [ErrorCode.BUSY, ErrorCode.NOT_STORED])
async def test_what_the_server_could_not_take_is_told_again(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch, code: ErrorCode
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    real = luke.chat._transfers._ask
    is_busy = True

    async def ask(request: Numbered) -> wire.Reply:
        if is_busy and isinstance(request, wire.Register):
            await trio.lowlevel.checkpoint()
            return wire.Error(code, "The server is busy", request.id)
        return await real(request)

    monkeypatch.setattr(luke.chat._transfers, "_ask", ask)
    luke.type("download a.bin")
    await fetched(party, luke, path)
    hans.type("searchFile a.bin")
    await sees(hans, r"Available: .*")
    await sees(hans, "hans: all 10 chunks")
    assert hans.person.screen == []
    is_busy = False
    with trio.fail_after(seconds_max()):
        while not any("luke" in line for line in hans.person.screen):
            await trio.sleep(transfers.TELL_AGAIN_SECONDS)
            hans.type("searchFile a.bin")
            await sees(hans, "hans: all 10 chunks")


@pytest.mark.parametrize("when", ["download", "register"])
async def test_a_server_that_goes_meanwhile_ends_nothing_badly(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    made = trio.Event()
    real = PartFile.__init__

    def cut_off(part: PartFile, *args: object) -> None:
        real(part, *args)  # type: ignore[arg-type]  # they are what was given
        luke.transport.close()
        made.set()

    monkeypatch.setattr(PartFile, "__init__", cut_off)
    if when == "download":
        luke.type("download a.bin")
        await made.wait()
    else:
        luke.transport.close()
        await sees(luke, "The server has closed the connection")
        luke.type(f"register {path}")
        await sees(luke, "Error. There is no connection to the server")
    await until(lambda: "go on" in " ".join(luke.person.screen) or when == "register")
    luke.type("cancel a.bin", "logout")
    assert await luke.end() in (0, 1)


@pytest.mark.parametrize("event", ["cancelled", "liar", "not served"])
async def test_without_a_reader_the_client_ends(
    party: Party, fast_clock: MockClock, event: str
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    before = path.stat()
    if event == "liar":
        path.write_bytes(bytes(SIZE))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif event == "not served":
        os.utime(path, (1, 1))
    who = hans if event == "not served" else luke
    who.person.failure = TerminalGone()
    luke.type("download a.bin")
    if event == "cancelled":
        await until((downloads(party, "luke") / "a.bin").exists)
    assert await who.end() == 1
    who.transport.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other.bin"},
        {"name": "../../x"},
        {"name": "\x1b[2Jx"},
        {"size": 2**53 - 1},
        {"size": 10, "chunks": 3},
        {"piece_bytes": 1},
        {"piece_bytes": 2**53 - 1},
    ],
    ids=str,
)
async def test_a_server_that_talks_nonsense_writes_nothing(
    party: Party,
    fast_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
) -> None:
    (luke,) = await party.join("luke")
    figures: dict[str, object] = {
        "name": "a.bin", "size": 10, "chunks": 10, "piece_bytes": 16384, "root": b"r" * 32
    }  # fmt: skip
    file = wire.File(**{**figures, **changes})  # type: ignore[arg-type]  # odd on purpose
    holders = tuple(wire.Holder(f"user{number}\x1b[2J", (1, 99)) for number in range(300))

    async def lie(_chat: Chat, request: wire.Search) -> wire.Found:
        await trio.lowlevel.checkpoint()
        return wire.Found(request.id, file, holders)

    chat = luke.chat
    # Of all requests a download makes only this one here.
    chat._transfers._downloads._ask = lambda request: lie(chat, request)  # type: ignore[arg-type]
    luke.type("download a.bin")
    await sees(luke, r"Error\. Cannot download a\.bin: .*(another file|makes no sense).*")
    assert not downloads(party, "luke").exists()


async def test_hashing_a_large_file_keeps_nobody_from_leaving(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (luke,) = await party.join("luke")
    told: list[int] = []

    def endless(_path: Path, tell: Callable[[int, int], None]) -> None:
        for done in range(10**9):
            told.append(done)
            tell(done, 10**12)

    monkeypatch.setattr(transfers, "hash_file", endless)
    luke.type("register a.bin", "whoelse")
    await sees(luke, "No other users are online")
    await until(lambda: told)
    await luke.logs_out()


async def test_an_incomplete_name_in_a_relative_path_is_found(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (luke,) = await party.join("luke")
    path = make(party)
    monkeypatch.chdir(path.parent)
    luke.type("register a.bin")
    await sees(luke, r"Ok\. a\.bin is registered: 200,000 bytes in 10 chunks of 20,000 bytes")
    manifest, _, _ = hash_file(path, lambda done, size: None)
    held = luke.chat._shelf.get(manifest.root)
    assert held is not None
    assert held.path == path


@pytest.mark.parametrize("line", ["register", "download"])
async def test_a_line_at_the_very_end_begins_nothing(
    tmp_path: Path, line: str, autojump_clock: MockClock
) -> None:
    ended = False
    async with trio.open_nursery() as nursery:
        terminal, options = ScriptedTerminal(), transfers.FileOptions(tmp_path)
        board = Board(terminal.status)
        files = transfers.Transfers(terminal, board, options, Shelf(), _never, _never)
        await nursery.start(files.run)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        try:
            if line == "register":
                await files.register(tmp_path / "a.bin")
            else:
                await files.download("a.bin")
        finally:
            ended = isinstance(sys.exc_info()[1], trio.Cancelled)
    assert ended


async def _never(what: object) -> NoReturn:
    raise AssertionError("nobody is asked")


# -- Chunks one by one -------------------------------------------------------------------------


async def test_chunks_may_be_asked_for_at_once_and_of_several_users(
    party: Party, fast_clock: MockClock
) -> None:
    """Section 3.5: different chunks come from different users at the same time."""
    hans, yoda, luke = await party.join("hans", "yoda", "luke")
    path = make(party)
    await register(hans, path)
    await register(yoda, path)
    for user in ("hans", "yoda"):
        luke.type(f"startprivate {user}")
        await sees(luke, f"Start private messaging with {user}")
    luke.type("private hans download a.bin 1")
    luke.type("private hans download a.bin 2")
    luke.type("private yoda download a.bin 3")
    luke.type("private hans download a.bin 4-5")
    confirmed = {
        (await sees(luke, r"Downloaded (chunks? \S+) of a\.bin from (\w+)")).groups()
        for _ in range(4)
    }
    assert confirmed == {
        *(("chunk 1", "hans"), ("chunk 2", "hans"), ("chunk 3", "yoda"), ("chunks 4-5", "hans")),
    }


async def test_a_download_of_the_whole_joins_the_chunks_that_are_on_their_way(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    for line in ("private hans download a.bin 1", "download a.bin"):
        luke.type(line)
    luke.type("private hans download a.bin 9")
    found = {(await sees(luke, r"Downloaded (chunk 1|chunk 9|a\.bin).*"))[1] for _ in range(3)}
    assert found == {"chunk 1", "chunk 9", "a.bin"}
    assert _same(downloads(party, "luke") / "a.bin", path)


async def test_a_mistyped_chunk_goes_to_nobody_as_a_text(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await register(hans, make(party))
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    luke.type("searchFile a.bin")
    await sees(luke, "hans: all 10 chunks")
    for chunk in ("x", "-1", "3x"):
        luke.type(f"private hans download a.bin {chunk}")
        await sees(luke, "Error. Usage: private <user> download <filename> <chunk>")
    luke.type("private hans download b.bin x")
    await sees(hans, r"luke\(private\): download b\.bin x")


# -- Why nothing comes -------------------------------------------------------------------------


async def test_who_cannot_be_reached_is_named_at_once_and_at_the_end(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def fail(_chat: Chat, _user: str) -> NoReturn:
        raise ConnectError("no answer from 10.0.0.9:5000")

    monkeypatch.setattr(Chat, "_connect_for_files", fail)
    hans, luke = await party.join("hans", "luke")
    await register(hans, make(party))
    luke.type("download a.bin")
    cause = r"hans has it, but can't be reached: no answer from 10\.0\.0\.9:5000"
    await sees(luke, f"a.bin: {cause}")
    await sees(luke, r"a\.bin: nobody who has it can be reached; waiting for others until .*")
    await sees(luke, rf"Error\. Cannot download a\.bin: {cause}")


async def test_what_is_lacking_is_said_at_once(party: Party, fast_clock: MockClock) -> None:
    hans, luke, yoda = await party.join("hans", "luke", "yoda")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    luke.type("private hans download a.bin 4")
    await sees(luke, "Downloaded chunk 4 of a.bin from hans")
    hans.type("logout")
    await sees(luke, "hans logged out")
    yoda.type("download a.bin")
    await sees(yoda, r"a\.bin: luke has 1 of 10 chunks; waiting for others until \d\d:\d\d:\d\d")


async def test_a_file_that_has_vanished_is_told_at_once(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke, yoda = await party.join("hans", "luke", "yoda")
    path = make(party)
    await register(hans, path)
    for guest in (luke, yoda):
        guest.type("searchFile a.bin")
        await sees(guest, "hans: all 10 chunks")
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    path.unlink()
    luke.type("private hans download a.bin 2")
    gone = "hans does not have it any more: it was changed or removed there"
    await sees(luke, rf"Error\. Cannot download chunk 2 of a\.bin: {gone}")


# -- The end of a script that serves -----------------------------------------------------------


async def test_a_script_that_serves_ends_though_somebody_stays_connected(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    path = make(party)
    await register(hans, path)
    luke.type("download a.bin")
    await fetched(party, luke, path)
    began = trio.current_time()
    with trio.fail_after(seconds_max()):
        while hans.chat._transfers.serving.is_used:
            await hans.chat._transfers.serving.wait_unused()
    assert trio.current_time() - began <= limits.SERVED_PAUSE_SECONDS + 1


# -- New versions ------------------------------------------------------------------------------


async def test_an_owner_publishes_a_new_version_and_downloads_of_the_old_one_end(
    party: Party, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "ALONE_SECONDS_MAX", 1e6)
    hans, luke, yoda = await party.join("hans", "luke", "yoda")
    path = make(party)
    await register(hans, path)
    luke.type("startprivate hans")
    await sees(luke, "Start private messaging with hans")
    luke.type("private hans download a.bin 1")
    await sees(luke, "Downloaded chunk 1 of a.bin from hans")
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin")
    await sees(luke, r"a\.bin: hans has it, but can't be reached: .*")
    path.write_bytes(os.urandom(SIZE))
    hans.type(f"register {path}")
    await sees(hans, r"Ok\. a\.bin is registered: .*")
    await sees(luke, r"Error\. Cannot download a\.bin: its owner has registered a new version.*")
    party.network.cut.clear()
    luke.type("download a.bin")
    assert await fetched(party, luke, path) == "hans 100%"
    yoda.type(f"register {make(party, within='elsewhere')}")
    await sees(yoda, r"Error\. Another file is registered as a\.bin already.*")


async def test_what_is_unregistered_is_neither_found_nor_served(
    party: Party, fast_clock: MockClock
) -> None:
    hans, luke = await party.join("hans", "luke")
    await register(hans, make(party))
    hans.type("unregister b.bin")
    await sees(hans, r"Error\. No file of yours is registered as b\.bin")
    hans.type("unregister a.bin")
    await sees(hans, r"Ok\. You do not share a\.bin any more")
    assert not list(hans.chat._transfers._shelf)
    luke.type("searchFile a.bin")
    await sees(luke, "Not available")
    other = make(party, within="elsewhere")
    await register(luke, other)
    hans.type("download a.bin")
    await fetched(party, hans, other)


async def test_what_is_on_its_way_is_not_unregistered(party: Party, fast_clock: MockClock) -> None:
    hans, luke = await party.join("hans", "luke")
    await register(hans, make(party))
    party.network.cut.add(hans.peering.port)
    luke.type("download a.bin", "unregister a.bin")
    await sees(luke, r"Error\. a\.bin is being downloaded; 'cancel' that first")
