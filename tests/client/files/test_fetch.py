"""One file on its way here, from servers played by scripts: honest ones, and all others."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.files import outlook
from trio_chat.client.files.disk import DiskError, PartFile
from trio_chat.client.files.fetch import Fetch, FetchError
from trio_chat.client.files.holders import Holding
from trio_chat.client.files.serving import Serving
from trio_chat.client.files.shelf import Shelf
from trio_chat.client.files.sources import ConnectError
from trio_chat.client.files.stream import FileStream
from trio_chat.client.files.throttle import Throttle
from trio_chat.client.files.want import Want
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.net.transport import BulkTransport
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line
from trio_chat.swarm.pieces import PieceSet

from .samples import Sample, make_sample, seconds_max, until


class Server:
    """A source that answers as it should; tests change single answers.

    Attributes:
        asked: the pieces it was asked for.
        told: the pieces that it was told of.
    """

    def __init__(self, sample: Sample, have: PieceSet | None = None) -> None:
        self.sample = sample
        self.have = PieceSet.full(sample.pieces) if have is None else have
        self.asked: list[int] = []
        self.told: list[int] = []
        self.connections = 0
        self.transport: MemoryTransport

    async def run(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.connections += 1
        stream = FileStream(transport, msgspec.json.Decoder(wire.FetchMessage))
        try:
            while (message := await stream.receive()) is not None:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self.answer(message)  # who does not want that may have said something
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            transport.close()

    async def answer(self, message: wire.FetchMessage) -> None:
        match message:
            case wire.PeerHello():
                await self.say(wire.PeerHello(wire.PEER_PROTOCOL_VERSION))
            case wire.Interest(root):
                await self.say(wire.Holding(root, self.holding()))
            case wire.GetLeaves(root):
                leaves = self.leaves()
                await self.say(wire.LeavesFollow(root, len(leaves)), leaves)
            case wire.Get(root, piece):
                self.asked.append(piece)
                await self.send_piece(root, piece)
            case wire.Have(_, piece):
                self.told.append(piece)

    def holding(self) -> bytes:
        return self.have.to_bytes()

    def leaves(self) -> bytes:
        return self.sample.leaves.packed

    async def send_piece(self, root: bytes, piece: int) -> None:
        data = self.sample.piece(piece)
        await self.say(wire.PieceFollows(root, piece, len(data)), data)

    async def say(self, message: wire.ServeMessage, data: bytes = b"") -> None:
        await self.transport.send_all(encode_line(message) + b"\n" + data)


class Liar(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        size = len(self.sample.piece(piece))
        await self.say(wire.PieceFollows(root, piece, size), bytes(size))


class LiarAtTheEnd(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        data = self.sample.piece(piece)
        await self.say(wire.PieceFollows(root, piece, len(data)), data[:-1] + b"!")


class LiarInHashes(Server):
    def leaves(self) -> bytes:
        return bytes(len(self.sample.leaves.packed))


class WithoutHashes(Server):
    def leaves(self) -> bytes:
        return b""


class SilentAboutHashes(Server):
    async def answer(self, message: wire.FetchMessage) -> None:
        if not isinstance(message, wire.GetLeaves):
            await super().answer(message)


class SlowLiarInHashes(LiarInHashes):
    async def answer(self, message: wire.FetchMessage) -> None:
        if isinstance(message, wire.GetLeaves):
            await trio.sleep(limits.SILENCE_SECONDS / 2)
        await super().answer(message)


class Vast(Server):
    async def answer(self, message: wire.FetchMessage) -> None:
        await super().answer(message)
        if isinstance(message, wire.Interest):
            await self.say(wire.LeavesFollow(message.root, limits.INTEGER_MAX))


class Unasked(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        await super().send_piece(root, piece)
        await super().send_piece(root, piece)


class WrongSize(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        await self.say(wire.PieceFollows(root, piece, 10**12), b"x" * 1000)


class Slow(Server):
    """Sends 2 kB a second, so a piece takes longer than anybody may be silent."""

    async def send_piece(self, root: bytes, piece: int) -> None:
        data = self.sample.piece(piece)
        await self.say(wire.PieceFollows(root, piece, len(data)))
        for start in range(0, len(data), 500):
            await trio.sleep(0.25)
            await self.transport.send_all(data[start : start + 500])


class Silent(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        pass


class Quitter(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        self.transport.close()


class Refuser(Server):
    async def send_piece(self, root: bytes, piece: int) -> None:
        await self.say(wire.Refused(root, piece))


class WrongBitmap(Server):
    def holding(self) -> bytes:
        return b"\xff" * 1000


class Flooder(Server):
    async def answer(self, message: wire.FetchMessage) -> None:
        await super().answer(message)
        if isinstance(message, wire.Interest):
            root = self.sample.root
            for piece in (0, self.sample.pieces, 10**6, limits.INTEGER_MAX):
                lines = (encode_line(wire.Have(root, piece)) + b"\n") * 500
                await self.transport.send_all(lines)
                await self.say(wire.Refused(root, piece))
                await self.say(wire.Refused(root, piece, busy=True))


class Mute(Server):
    async def answer(self, message: wire.FetchMessage) -> None:
        pass


class OnlyGreets(Server):
    async def answer(self, message: wire.FetchMessage) -> None:
        if isinstance(message, wire.PeerHello):
            await super().answer(message)


class Bench:
    """A fetch with all that it needs around it.

    Attributes:
        servers: who serves, by user.
        found: whom the server of the chat tells of, who have all chunks by its word.
        said: what the person was told of those who have the file.
        lied: of whom it was said that they sent wrong bytes.
        chunks: how often a chunk was complete.
    """

    def __init__(self, sample: Sample, directory: Path) -> None:
        self.sample = sample
        self.directory = directory
        self.servers: dict[str, Server] = {}
        self.found: list[str] = []
        self.lied: list[str] = []
        self.said: list[str] = []
        self.chunks = 0
        self.shelf = Shelf()
        self.serving = Serving(
            self.shelf,
            Throttle(None),
            lambda held, error: True,
            lambda root, user: False,
            lambda root, user, piece: None,
        )
        self.fetch: Fetch
        self._nursery: trio.Nursery

    def add(self, user: str, server: Server) -> Server:
        self.servers[user] = server
        self.found.append(user)
        return server

    async def _connect(self, user: str) -> BulkTransport:
        await trio.lowlevel.checkpoint()
        if user not in self.servers:
            raise ConnectError("nobody answers")
        ours, theirs = memory_pair(capacity_bytes=64 * 1024)
        self._nursery.start_soon(self.servers[user].run, theirs)
        return ours

    async def _find(self) -> list[Holding]:
        await trio.lowlevel.checkpoint()
        return self.holders()

    def holders(self) -> list[Holding]:
        return [(user, self.all_chunks) for user in self.found]

    @property
    def all_chunks(self) -> tuple[int, ...]:
        return tuple(range(1, self.sample.manifest.chunks + 1))

    def end(self) -> None:
        """As when the client ends."""
        self._nursery.cancel_scope.cancel()

    def _count_chunk(self) -> None:
        self.chunks += 1

    async def run(
        self,
        *wants: Want,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> bytes:
        """Fetch it; return what lies in the part file then.

        Args:
            wants: what is wanted of it; all if there are none.
            meanwhile: what is done beside that.
        """
        part = PartFile(self.directory, self.sample.manifest, "luke")
        self.wants = list(wants) or [Want(self.all_chunks)]
        self.fetch = Fetch(
            self.sample.manifest,
            "luke",
            self.shelf,
            self.serving,
            self._connect,
            self._find,
            self._count_chunk,
            self.lied.append,
            self.said.append,
            Throttle(None),
        )
        for want in self.wants:
            assert self.fetch.want(want, self.holders())
        try:
            async with trio.open_nursery() as self._nursery:
                if meanwhile is not None:
                    self._nursery.start_soon(meanwhile)
                with trio.fail_after(seconds_max()):
                    await self.fetch.run(part)
                await wait_all_tasks_blocked()  # the servers read what came last
                self._nursery.cancel_scope.cancel()
        finally:
            part.close()
        return part.path.read_bytes()


@pytest.fixture
def bench(sample: Sample, tmp_path: Path) -> Bench:
    return Bench(sample, tmp_path / "downloads")


async def fails(bench: Bench, *wants: Want) -> str:
    """Fetch in vain; return why."""
    await bench.run(*wants)
    failure = bench.wants[0].failure
    assert failure is not None
    return failure


async def breaks(bench: Bench) -> str:
    """Fetch until it ends for a reason that concerns all of it; return that."""
    with pytest.raises(ExceptionGroup) as caught:
        await bench.run()
    (error,) = caught.value.exceptions
    assert isinstance(error, FetchError), error
    return str(error)


@pytest.mark.usefixtures("any_leaves")
async def test_it_comes_from_all_who_have_it(bench: Bench, fast_clock: MockClock) -> None:
    servers = [bench.add(user, Server(bench.sample)) for user in ("hans", "yoda")]
    assert await bench.run() == bench.sample.data
    assert all(server.asked for server in servers)
    assert set(bench.fetch.received_bytes) == {"hans", "yoda"}
    assert bench.chunks == 10
    assert bench.fetch.has_all
    assert bench.fetch.missing_bytes == 0


async def test_only_the_chunks_that_are_wanted_are_asked_for(
    bench: Bench, fast_clock: MockClock
) -> None:
    server = bench.add("hans", Server(bench.sample))
    data = await bench.run(Want((3, 5)))
    wanted = [piece for chunk in (3, 5) for piece in bench.sample.manifest.pieces_of(chunk)]
    assert sorted(server.asked) == wanted
    for piece in wanted:
        offset, size = bench.sample.manifest.span(piece)
        assert data[offset : offset + size] == bench.sample.piece(piece)
    assert not bench.fetch.has_all


async def test_who_is_slow_is_not_silent(
    bench: Bench, no_threads: None, autojump_clock: MockClock
) -> None:
    slow = bench.add("hans", Slow(bench.sample))
    await bench.run(Want((3,)))
    pieces = bench.sample.manifest.pieces_of(3)
    assert sorted(slow.asked) == list(pieces), "nothing was asked for twice, in whatever order"


async def test_all_hear_of_every_piece_the_last_ones_too(
    bench: Bench, fast_clock: MockClock
) -> None:
    servers = [bench.add(user, Server(bench.sample)) for user in ("hans", "yoda")]
    await bench.run()
    for server in servers:
        assert sorted(server.told) == list(range(bench.sample.pieces))


async def test_only_those_who_may_be_asked_are(bench: Bench, fast_clock: MockClock) -> None:
    hans, yoda = (bench.add(user, Server(bench.sample)) for user in ("hans", "yoda"))
    assert await bench.run(Want((2,), "yoda")) != b""
    assert (hans.connections, yoda.connections) == (0, 1)


@pytest.mark.usefixtures("any_leaves")
@pytest.mark.parametrize("kind", [Liar, LiarAtTheEnd, LiarInHashes])
async def test_a_liar_is_named_once_and_left(
    bench: Bench, fast_clock: MockClock, kind: type[Server]
) -> None:
    bench.add("vader", kind(bench.sample))

    async def join_later() -> None:
        await until(lambda: bench.lied)
        bench.add("hans", Server(bench.sample))

    assert await bench.run(meanwhile=join_later) == bench.sample.data
    assert bench.lied == ["vader"]
    assert bench.servers["vader"].connections == 1


@pytest.mark.parametrize(
    "kind",
    [
        Vast,
        Unasked,
        WrongSize,
        Quitter,
        Refuser,
        WrongBitmap,
        Flooder,
        Mute,
        Silent,
        SilentAboutHashes,
        WithoutHashes,
    ],
)
async def test_nobody_keeps_a_file_from_coming(
    bench: Bench, fast_clock: MockClock, kind: type[Server]
) -> None:
    hostile = bench.add("vader", kind(bench.sample))

    async def join_later() -> None:
        await until(lambda: hostile.connections)
        await trio.sleep(1)
        bench.add("hans", Server(bench.sample))

    assert await bench.run(meanwhile=join_later) == bench.sample.data
    assert bench.lied == []


@pytest.mark.parametrize("kind", [Vast, Unasked, WrongSize])
async def test_who_breaks_the_protocol_is_not_asked_again(
    bench: Bench, fast_clock: MockClock, kind: type[Server]
) -> None:
    hostile = bench.add("vader", kind(bench.sample))

    async def join_later() -> None:
        await until(lambda: hostile.connections)
        await trio.sleep(8)
        bench.add("hans", Server(bench.sample))

    assert await bench.run(meanwhile=join_later) == bench.sample.data
    assert hostile.connections == 1


async def test_after_wrong_hashes_those_who_are_there_are_asked(
    bench: Bench, fast_clock: MockClock
) -> None:
    bench.add("vader", SlowLiarInHashes(bench.sample))

    async def join_meanwhile() -> None:
        await until(lambda: bench.fetch.sources)
        bench.servers["hans"] = Server(bench.sample)
        bench.fetch.suggest("hans")

    assert await bench.run(meanwhile=join_meanwhile) == bench.sample.data
    assert bench.lied == ["vader"]


async def test_only_the_first_hashes_count(bench: Bench, fast_clock: MockClock) -> None:
    class Late(Server):
        async def answer(self, message: wire.FetchMessage) -> None:
            if isinstance(message, wire.GetLeaves):
                await until(lambda: bench.fetch.held)
            await super().answer(message)

    bench.add("yoda", Late(bench.sample))

    async def join_later() -> None:
        await until(lambda: bench.fetch.sources)
        bench.add("hans", Slow(bench.sample))

    assert await bench.run(Want((3,)), meanwhile=join_later) != b""
    assert bench.chunks == 1


async def test_who_can_not_be_reached_is_tried_again(bench: Bench, fast_clock: MockClock) -> None:
    bench.found.append("hans")

    async def appear() -> None:
        await trio.sleep(1)
        bench.servers["hans"] = Server(bench.sample)

    assert await bench.run(meanwhile=appear) == bench.sample.data


async def test_hundreds_of_holders_who_do_not_answer_are_no_harm(
    bench: Bench, fast_clock: MockClock
) -> None:
    bench.found += [f"user{number}" for number in range(500)]
    bench.add("hans", Server(bench.sample))
    assert await bench.run() == bench.sample.data


async def test_not_everybody_is_connected_to_at_once(bench: Bench, fast_clock: MockClock) -> None:
    for number in range(limits.SOURCES_MAX + 20):
        bench.add(f"user{number}", Silent(bench.sample))
    open_at_once: list[int] = []

    async def watch() -> None:
        def count() -> int:
            return sum(server.connections for server in bench.servers.values())

        await until(lambda: count() >= limits.SOURCES_MAX)
        await trio.sleep(1)
        open_at_once.append(count())
        bench.fetch._fail("enough")

    with pytest.raises(ExceptionGroup):
        await bench.run(meanwhile=watch)
    assert open_at_once == [limits.SOURCES_MAX]


async def test_a_later_try_fetches_only_the_rest(bench: Bench, fast_clock: MockClock) -> None:
    server = bench.add("hans", Server(bench.sample))
    await bench.run(Want((1, 2, 3)))
    before = len(server.asked)
    assert await bench.run() == bench.sample.data
    assert len(server.asked) == bench.sample.pieces
    assert sorted(server.asked[before:]) == sorted(
        set(range(bench.sample.pieces)) - set(server.asked[:before])
    )


async def test_what_was_remembered_of_a_part_that_is_gone_is_not_believed(
    bench: Bench, fast_clock: MockClock
) -> None:
    server = bench.add("hans", Server(bench.sample))
    await bench.run(Want((1, 2, 3)))
    for part in bench.directory.iterdir():
        part.unlink()
    server.asked.clear()
    assert await bench.run() == bench.sample.data
    assert sorted(server.asked) == list(range(bench.sample.pieces))


async def test_what_comes_is_served_at_once(bench: Bench, fast_clock: MockClock) -> None:
    bench.add("hans", Server(bench.sample))
    await bench.run(Want((1,)))
    held = bench.shelf.get(bench.sample.root)
    assert held is not None
    assert held.chunks == (1,)
    assert held is bench.fetch.held


async def test_a_disk_without_room_ends_it_and_what_is_here_stays(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("hans", "yoda", "r2d2"):
        bench.add(user, Server(bench.sample))
    await bench.run(Want((1, 2)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _no_room)
        reason = await breaks(bench)
    assert reason == f"cannot write to {bench.directory}: No space left on device"
    for server in bench.servers.values():
        server.asked.clear()
    assert await bench.run() == bench.sample.data
    asked = [piece for server in bench.servers.values() for piece in server.asked]
    done = {piece for chunk in (1, 2) for piece in bench.sample.manifest.pieces_of(chunk)}
    assert not done & set(asked)


def _no_room(*_: object) -> int:
    raise OSError(28, "No space left on device")


async def test_a_part_that_can_not_be_read_ends_it(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("hans", Server(bench.sample))

    def fail(*_: object) -> PieceSet:
        raise DiskError("cannot read this")

    monkeypatch.setattr(PartFile, "verify", fail)
    assert await breaks(bench) == "cannot read this"


async def test_what_nobody_has_is_not_looked_for_for_ever(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "ALONE_SECONDS_MAX", 5.0)
    start = trio.current_time()
    assert await fails(bench) == "nobody who is online has the rest of it"
    assert trio.current_time() - start >= 5


async def test_what_the_last_ones_do_not_have_is_not_looked_for_for_ever(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "ALONE_SECONDS_MAX", 5.0)
    bench.add("yoda", Server(bench.sample, PieceSet(bench.sample.pieces, [0, 1])))
    assert await fails(bench) == "nobody who is online has the rest of it"
    assert bench.fetch.missing_bytes > 0
    held = bench.shelf.get(bench.sample.root)
    assert held is not None
    assert set(held.have) == {0, 1}


@pytest.mark.parametrize("kind", [OnlyGreets, SilentAboutHashes])
async def test_who_does_not_say_what_is_there_keeps_nobody_waiting(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch, kind: type[Server]
) -> None:
    monkeypatch.setattr(outlook, "ALONE_SECONDS_MAX", 25.0)
    bench.add("vader", kind(bench.sample))
    failure = await fails(bench)
    assert failure.startswith("vader has it, but ")
    assert "answer" in failure


async def test_who_is_suggested_after_the_end_is_no_harm(
    bench: Bench, fast_clock: MockClock
) -> None:
    bench.add("hans", Server(bench.sample))
    await bench.run()
    bench.fetch.suggest("yoda")


async def test_checking_a_large_part_can_be_cancelled(
    bench: Bench, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("hans", Server(bench.sample))
    checked: list[int] = []

    def verify(_part: PartFile, _leaves: object, tell: Callable[[int, int], None]) -> PieceSet:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:  # a file of any size
            checked.append(len(checked))
            tell(len(checked), 10**12)
        raise AssertionError("it was not cancelled")

    async def cancel() -> None:
        await until(lambda: checked)
        bench.end()

    monkeypatch.setattr(PartFile, "verify", verify)
    await bench.run(meanwhile=cancel)
    assert bench.fetch.held is None


async def test_an_empty_file_is_here_at_once(tmp_path: Path, fast_clock: MockClock) -> None:
    bench = Bench(make_sample(tmp_path, size=0), tmp_path / "downloads")
    assert await bench.run() == b""
    assert bench.fetch.has_all


async def test_an_empty_file_with_a_wrong_hash_is_refused(
    tmp_path: Path, fast_clock: MockClock
) -> None:
    bench = Bench(make_sample(tmp_path, size=0), tmp_path / "downloads")
    bench.sample.manifest = msgspec.structs.replace(bench.sample.manifest, root=b"x" * 32)
    assert await breaks(bench) == "it is empty, and its hash says otherwise"


async def test_a_source_that_is_told_of_later_joins(bench: Bench, fast_clock: MockClock) -> None:
    bench.add("hans", Server(bench.sample, PieceSet(bench.sample.pieces, [0, 1])))
    bench.servers["yoda"] = Server(bench.sample)

    async def tell() -> None:
        await until(lambda: bench.chunks)
        bench.fetch.suggest("yoda")

    assert await bench.run(meanwhile=tell) == bench.sample.data
