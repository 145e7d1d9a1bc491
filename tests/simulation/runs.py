"""One run from its seed to its verdict."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import trio
from msgspec import Struct

from . import determinism
from .delivery import Broken
from .people import People
from .scale import small_limits
from .trouble import Trouble
from .world import Client, Person, World

NEVER = float("inf")

MARK = 100_000.0
"""No person asks who was online for so many seconds."""

STEPS = 150
"""Of a run, unless somebody wants another number."""

SETTLE_SECONDS_MAX = 900.0
"""How long everything may take to be well again after it was mended."""


class Result(Struct):
    """What came of a run.

    Attributes:
        seed, steps: which run it was.
        failure: why it failed, if it did.
        lines: the trace.
        counts: how often what happened.
        seconds: of real time.
        virtual_seconds: of the time inside.
    """

    seed: int
    steps: int
    failure: str | None
    lines: list[str]
    counts: dict[str, int]
    seconds: float
    virtual_seconds: float


def simulate(seed: int, steps: int, *, from_outside: bool = False) -> Result:
    """Run a seed.

    Args:
        seed: that decides everything.
        steps: how much is done, or goes wrong, before everything is mended.
        from_outside: whether not to look at the server's own invariants.
    """
    started = time.perf_counter()
    directory = Path(tempfile.mkdtemp(prefix="trio-chat-"))
    run = _Run(seed, steps, directory, from_outside=from_outside)
    failure = None
    try:
        with small_limits(random.Random(f"limits of {seed}")):
            files = _open_files()
            determinism.run(seed, run.run)
            if _open_files() != files:
                failure = "files or sockets are left open"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this is for
        error = _leaf(error)
        is_broken = isinstance(error, Broken)
        failure = str(error) if is_broken else "".join(traceback.format_exception(error)).strip()
    finally:
        shutil.rmtree(directory)
    watched = run.world.watched
    counts = dict(sorted({**watched.counts, **run.world.network.counts}.items()))
    counts["commits"], counts["commits failed"] = run.world.disk.commits, run.world.disk.failures
    counts["histories checked"] = watched.history.queries
    notes = watched.delivery.notes.values()
    counts["texts acknowledged"] = sum(note.acknowledged_at is not None for note in notes)
    counts["texts shown"] = sum(len(note.shown) for note in notes)
    seconds = time.perf_counter() - started
    return Result(seed, steps, failure, watched.lines, counts, seconds, run.ended_at)


def _leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _open_files() -> int:
    directory = Path("/proc/self/fd")
    return len(list(directory.iterdir())) if directory.is_dir() else 0


class _Run:
    """A run as it goes on."""

    world: World

    def __init__(self, seed: int, steps: int, directory: Path, *, from_outside: bool) -> None:
        self._chance = random.Random(f"steps of {seed}")
        self._steps = steps
        self._directory = directory
        self._from_outside = from_outside
        self.ended_at = 0.0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            world = self.world = World(self._chance, self._directory, nursery)
            self._people = People(world, self._chance)
            self._trouble = Trouble(world, self._chance)
            nursery.start_soon(world.timeline.run)
            await world.start_server()
            await self._live()
            await self._end()
            if len(nursery.child_tasks) > 1:
                raise Broken(f"tasks are left over: {nursery.child_tasks}")
            self.ended_at = trio.current_time()
            nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        chance, world = self._chance, self.world
        pause = chance.choice((0.01, 0.1, 0.1, 1.0))
        trouble = chance.choice((0.0, 0.03, 0.1, 0.1, 0.25))
        for person in world.persons.values():
            person.start()
        await trio.sleep(chance.choice((0.0, 3.0)))
        for step in range(self._steps):
            long = chance.random() < 0.02
            await trio.sleep(chance.expovariate(1.0) * (20.0 if long else pause))
            if chance.random() < trouble:
                await self._be_busy()
                await self._trouble.strike()
            else:
                self._people.act()
            if step % 10 == 0 and not self._from_outside:
                world.check()

    async def _be_busy(self) -> None:
        """What goes wrong is worst while much is on its way."""
        chance = self._chance
        for _ in range(chance.choice((0, 0, 1, 4))):
            self._people.act()
        await trio.sleep(chance.random() * chance.choice((0.0, 0.02, 0.5)))

    # -- Afterwards ------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Mend everything, wait, and see that all is well; then everybody leaves."""
        world, persons = self.world, list(self.world.persons.values())
        self._trouble.mend()
        await trio.sleep(20.0)  # dead connections are noticed
        await self._all_online()
        for person in persons:
            for other in persons:
                if other is not person:
                    self._people.say(person, "message", other.user, "the last one")
            self._people.say(person, "broadcast", "", "farewell")
        await self._until("everything has arrived", self._all_arrived)
        await self._check_presence()
        if not self._from_outside:
            world.check()
        await self._all_leave()

    async def _all_online(self) -> None:
        """Everybody is, and their clients have done all that was typed before."""
        persons = self.world.persons.values()
        asked: dict[Client, float] = {}

        def try_again() -> bool:
            for person in persons:
                client = person.client
                if client is None:
                    person.start()
                elif client.is_alone:
                    person.type("logout")
                elif client.is_online and client not in asked:
                    asked[client] = MARK + len(asked)
                    person.type(f"whoelsesince {asked[client]:.0f}")
            marks = self.world.watched.marks
            return all(
                client is not None
                and client.is_online
                and marks.get(client.person.user) == asked.get(client)
                for client in [person.client for person in persons]
            )

        await self._until("everybody is online", try_again)

    def _all_arrived(self) -> bool:
        """Whether what was acknowledged is shown, and what a living client has sent is answered."""
        delivery, persons = self.world.watched.delivery, self.world.persons
        living = {person.client for person in persons.values()}
        return not delivery.missing() and all(
            note.acknowledged_at is not None or note.refusal is not None
            for note in delivery.notes.values()
            if note.client in living and note.kind != "private"
        )

    async def _until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until something is so, with everybody typing now and then."""
        for second in range(int(SETTLE_SECONDS_MAX)):
            if condition():
                return
            await trio.sleep(1.0)
            if second % 15 == 10:
                for person in self.world.persons.values():
                    if person.is_online:
                        person.type("hm")
        missing = "; ".join(map(str, self.world.watched.delivery.missing())) or "nothing"
        raise Broken(f"not even after {SETTLE_SECONDS_MAX:.0f} s: {what}. Lost: {missing}")

    async def _check_presence(self) -> None:
        """Everybody is told of everybody else."""
        world = self.world
        world.watched.others.clear()
        for person in world.persons.values():
            person.type("whoelse")
        await self._until(
            "everybody has an answer", lambda: len(world.watched.others) == len(world.persons)
        )
        for user, others in world.watched.others.items():
            if others != [name for name in sorted(world.persons) if name != user]:
                raise Broken(f"everybody is online, and {user} is told of {others}")

    async def _all_leave(self) -> None:
        """One after the other, and whoever may know is told; then the server stops."""
        world = self.world
        staying = list(world.persons.values())
        while staying:
            person = staying.pop(0)
            marks = {other.user: len(other.screen) for other in staying}
            person.type("logout")
            await self._until(f"{person.user} has left", lambda: person.client is None)  # noqa: B023
            line = f"{person.user} logged out"

            def is_told(other: Person) -> bool:
                return line in other.screen[marks[other.user] :]  # noqa: B023

            free = [o for o in staying if world.watched.blocks.is_free(person.user, o.user, NEVER)]
            await self._until(f"all are told that {line}", lambda: all(map(is_told, free)))  # noqa: B023
            await trio.sleep(3.0)
            for other in staying:
                blocks = world.watched.blocks.has_blocked(person.user, other.user, NEVER)
                if blocks and is_told(other):
                    raise Broken(f"{other.user} was told that {line}, who blocks them")
        world.check_empty()
        await world.stop_server()
        if world.network.open_ends:
            raise Broken(f"connections are left open: {list(world.network.open_ends)}")
