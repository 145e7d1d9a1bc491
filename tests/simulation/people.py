"""What people do, a step at a time: every command, and the mistakes that people make."""

from __future__ import annotations

import random

from .chance import spread
from .world import NAMES, Person, World, password_of

SOME_TEXTS = (
    "hey dude",
    "hey dude",
    "x" * 700,
    "tab\tand  blanks",
    "naïve ☃",
)


class People:
    """Types into the clients of a world, as the seed wants it."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        likes_files, likes_private = chance.choice((0.0, 1.0, 5.0)), chance.choice((0.2, 1.0, 5.0))
        self._habits = (
            (30, self._message),
            (4, self._burst),
            (8, self._broadcast),
            (1, self._flood),
            (6, self._whoelse),
            (6, self._whoelsesince),
            (7, self._block),
            (3 * likes_private, self._startprivate),
            (8 * likes_private, self._private),
            (1 * likes_private, self._stopprivate),
            (1.5 * likes_files, self._register),
            (1.5 * likes_files, self._search),
            (2 * likes_files, self._download),
            (0.5 * likes_files, self._other_file_command),
            (2, self._mistype),
            (3, self._logout),
        )

    def act(self) -> None:
        """Somebody does something."""
        person = self._world.persons[self._chance.choice(NAMES)]
        if person.client is None:
            self._start(person)
        elif person.client.is_alone:
            person.type("logout")  # it goes on for private messages and files
        elif person.client.welcome:
            spread(self._chance, *self._habits)(person)

    def _start(self, person: Person) -> None:
        chance, right = self._chance, password_of(person.user)
        wrong = ["guess"] * spread(chance, (20, 0), (2, 1), (1, 3))
        person.start(*wrong, right)

    def _other(self, person: Person) -> str:
        return self._chance.choice([name for name in NAMES if name != person.user])

    # -- Texts -------------------------------------------------------------------------------

    def say(self, person: Person, kind: str, to: str, rest: str) -> None:
        """Type a text of one of the kinds that `delivery` knows."""
        typed = self._world.watched.delivery.typed
        note = typed(kind, person.user, to, rest, person.client)
        words = [kind, to, f"#{note.number}", rest] if to else [kind, f"#{note.number}", rest]
        person.type(" ".join(words))
        self._world.watched.count(f"{kind}s typed")

    def _text(self) -> str:
        chance = self._chance
        if chance.random() < 0.03:  # a line of somebody else's, if it worked
            return f"\u2028{chance.choice(NAMES)}: #{chance.randrange(1, 50)} hey dude"
        return chance.choice(SOME_TEXTS)

    def _message(self, person: Person) -> None:
        to = spread(self._chance, (30, self._other(person)), (1, person.user), (1, "nobody"))
        self.say(person, "message", to, self._text())

    def _burst(self, person: Person) -> None:
        to = self._other(person)
        for _ in range(self._chance.randrange(3, 20)):
            self.say(person, "message", to, "hey dude")

    def _broadcast(self, person: Person) -> None:
        self.say(person, "broadcast", "", self._text())

    def _flood(self, person: Person) -> None:
        for _ in range(12):
            self.say(person, "broadcast", "", "x" * 700)

    def _private(self, person: Person) -> None:
        assert person.client is not None
        linked = sorted(person.client.linked)
        to = self._chance.choice(linked) if linked else self._other(person)
        for _ in range(self._chance.choice((1, 1, 1, 5))):
            self.say(person, "private", to, self._text())

    # -- The others --------------------------------------------------------------------------

    def _whoelse(self, person: Person) -> None:
        person.type("whoelse")

    def _whoelsesince(self, person: Person) -> None:
        person.type(f"whoelsesince {self._chance.choice((0, 1, 5, 20, 1000))}")

    def _block(self, person: Person) -> None:
        other = self._other(person)
        kind = self._chance.choice(("block", "unblock", "unblock"))
        self._world.watched.blocks.typed(person.user, other, self._world.watched.now())
        person.type(f"{kind} {other}")

    def _startprivate(self, person: Person) -> None:
        person.type(f"startprivate {self._other(person)}")

    def _stopprivate(self, person: Person) -> None:
        person.type(f"stopprivate {self._other(person)}")

    def _mistype(self, person: Person) -> None:
        person.type(self._chance.choice(("whatsthetime", "help", "message", "", "block nobody")))

    def _logout(self, person: Person) -> None:
        person.type("logout")

    # -- Files -------------------------------------------------------------------------------

    def _file(self) -> str:
        return f"file{self._chance.randrange(3)}.bin"

    def _register(self, person: Person) -> None:
        name = self._file()
        data = self._world.files.get(name)
        if data is None:
            size = self._chance.choice((1, 900, 5000, 60_000))
            data = self._world.files[name] = self._chance.randbytes(size)
        path = person.directory / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        person.type(f"register {path}")
        self._world.watched.count("files registered")

    def _search(self, person: Person) -> None:
        chunks = self._chance.choice(("", " 1", " 2-3"))
        person.type(f"search{'Chunk' if chunks else 'File'} {self._file()}{chunks}")

    def _download(self, person: Person) -> None:
        person.type(f"download {self._file()}")

    def _other_file_command(self, person: Person) -> None:
        name, other = self._file(), self._other(person)
        person.type(
            self._chance.choice(
                (f"cancel {name}", "downloads", f"private {other} download {name} 1")
            )
        )
