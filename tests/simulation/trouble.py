"""What goes wrong, a step at a time: network, disk, machines and programs."""

from __future__ import annotations

import random

import trio

from .chance import spread
from .network import End
from .stranger import visit
from .world import NAMES, SERVER_HOST, Person, World


class Trouble:
    """Makes things go wrong in a world, as the seed wants it."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._network = world.network
        kinds = (
            (6, self._cut),
            (3, self._half_open),
            (4, self._stall),
            (2, self._partition),
            (6, self._kill_client),
            (2, self._machine_dies),
            (2, self._screen_stalls),
            (2, self._stranger),
            (3, self._crash_server),
            (1, self._stop_server),
            (2, self._disk_fills),
            (1, self._disk_unreadable),
        )
        # Not all of it in every run: or nothing would ever go right.
        self._kinds = [kind for kind in kinds if chance.random() < 0.5] or list(kinds)

    async def strike(self) -> None:
        """Something goes wrong."""
        for _ in range(self._chance.choice((0, 0, 1, 2, 3, 5, 9))):
            await trio.lowlevel.checkpoint()  # so that it can be at any moment
        await spread(self._chance, *self._kinds)()

    def _pick_end(self) -> End | None:
        """Either end of a connection, most often one to the server."""
        ends = [end for end in self._network.open_ends if not end.is_broken]
        to_server = [end for end in ends if SERVER_HOST in (end.host, end.peer_host)]
        if self._chance.random() < 0.7:
            ends = to_server
        return self._chance.choice(ends) if ends else None

    def _pick_client(self) -> Person | None:
        persons = [self._world.persons[name] for name in NAMES]
        running = [person for person in persons if person.client is not None]
        return self._chance.choice(running) if running else None

    def _note(self, what: str, detail: str = "") -> None:
        self._world.watched.count(what)
        self._world.trace(f"! {what} {detail}".rstrip())

    # -- Network ---------------------------------------------------------------------------------

    async def _cut(self) -> None:
        end = self._pick_end()
        if end is not None:
            clean = self._chance.random() < 0.5
            kind = "connections closed midway" if clean else "connections reset"
            self._note(kind, f"{end.host} {end.peer_host}")
            self._network.cut(end, clean=clean)

    async def _half_open(self) -> None:
        end = self._pick_end()
        if end is not None:
            self._note("connections half open", f"{end.host} {end.peer_host}")
            self._network.half_open(end)

    async def _stall(self) -> None:
        end = self._pick_end()
        if end is not None:
            seconds = self._chance.choice((0.2, 3.0, 12.0, 40.0))
            self._note("directions stalled", f"{end.host} {end.peer_host} {seconds}")
            self._network.stall(end, seconds)

    async def _partition(self) -> None:
        host = self._world.persons[self._chance.choice(NAMES)].host
        seconds = self._chance.choice((0.5, 5.0, 13.0, 60.0))
        self._note("hosts partitioned", f"{host} {seconds}")
        self._network.partition(host, seconds)

    # -- Clients ---------------------------------------------------------------------------------

    async def _kill_client(self) -> None:
        person = self._pick_client()
        if person is not None and person.client is not None:
            self._note("clients killed", person.user)
            person.client.kill()
            if self._chance.random() < 0.7:
                await person.client.ended.wait()
                person.start()

    async def _machine_dies(self) -> None:
        person = self._pick_client()
        if person is not None and person.client is not None:
            self._note("machines lost", person.user)
            person.client.kill(silently=True)
            await person.client.ended.wait()

    async def _screen_stalls(self) -> None:
        person = self._pick_client()
        if person is not None and person.client is not None:
            seconds = self._chance.choice((1.0, 10.0, 30.0))
            self._note("screens stalled", f"{person.user} {seconds}")
            person.client.terminal.stalled_until = trio.current_time() + seconds

    async def _stranger(self) -> None:
        for _ in range(self._chance.choice((1, 10))):
            self._note("strangers")
            self._world.nursery.start_soon(visit, self._network, self._chance)

    # -- Server ----------------------------------------------------------------------------------

    async def _crash_server(self) -> None:
        if self._world.is_serving:
            silently = self._chance.random() < 0.3
            self._note("server machines lost" if silently else "server crashes")
            await self._world.crash_server(silently=silently)
            await self._come_back()

    async def _stop_server(self) -> None:
        if self._world.is_serving:
            self._note("server stops")
            await self._world.stop_server()
            await self._come_back()

    async def _come_back(self) -> None:
        await trio.sleep(self._chance.choice((0.0, 0.0, 0.5, 8.0)))
        await self._world.start_server()

    async def _disk_fills(self) -> None:
        disk = self._world.disk
        disk.is_full = not disk.is_full
        self._note("disk full" if disk.is_full else "disk has room")

    async def _disk_unreadable(self) -> None:
        disk = self._world.disk
        disk.is_unreadable = not disk.is_unreadable
        self._note("disk unreadable" if disk.is_unreadable else "disk readable")

    def mend(self) -> None:
        """Everything works from now on."""
        self._world.trace("everything is mended")
        self._world.disk.is_full = self._world.disk.is_unreadable = False
        self._network.heal()
        for person in self._world.persons.values():
            if person.client is not None:
                person.client.terminal.stalled_until = 0.0
