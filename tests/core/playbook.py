"""Tests of the broker as transcripts: commands at the margin, their effects indented.

A transcript is run and printed again as it really went; when the two differ, the test fails
with the difference between them. ::

    hans: message 2 yoda "Hey Dude"
        yoda < delivery 1 hans pc-hans 2 "Hey Dude"
    yoda: ack 1
        hans < ok 2

Commands, in which a name stands for the connection that was opened last under it:

========================  ==================================================================
``open C [ADDRESS]``      somebody connects; the connection is called C from now on, and its
                          token is ``token-N`` if it is the Nth that was opened
``log in C [U]``          the same, through to being user U (C itself if left out); its
                          client is called ``pc-C``, and its last request was number 1
``C: request; ...``       a batch of requests: the type, then the fields in order; what is
                          left over at the end of ``hello`` are capabilities
``close C``               the connection is gone
``fail C CODE``           the connection has to end for this reason
``right C``, ``wrong C``  the password has been checked
``committed``             what the last ``commit`` says is on disk now
``commit failed``         it is not, and never will be
``loaded U [early]``      the mailbox has been read, just now or when it was asked for
``load failed U``         it can't be read
``wait S``                so many seconds pass
``stop``                  the server stops
``deadline``, ``stopped`` ask the broker; the answer stands like an effect
========================  ==================================================================

An effect ``...`` stands for any others, and at the end of a line for its rest.
"""

from __future__ import annotations

import difflib
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec
import pytest

from trio_chat.core import commands, effects
from trio_chat.core.beginning import Restored, Settings
from trio_chat.core.broker import Broker
from trio_chat.core.commands import Command
from trio_chat.core.effects import Effect
from trio_chat.core.shares import counted_by_sender
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .invariants import check_invariants

USERS = frozenset({"hans", "yoda", "luke", "vader", "r2d2"})

_REQUESTS = {kind.__struct_config__.tag: kind for kind in get_args(wire.Request)}


class DictStore:
    """A disk of dicts."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[int, wire.Delivery]] = {}
        self.blocks: dict[tuple[str, str], None] = {}
        self.files: dict[str, tuple[str, wire.File]] = {}
        self.held: list[str] = []

    def write(self, commit: effects.Commit) -> None:
        for user, seq in commit.acknowledged:
            box = self.messages.get(user, {})
            self.messages[user] = {s: d for s, d in box.items() if s > seq}
        for user, delivery in commit.messages:
            assert delivery.seq not in self.messages.get(user, {}), "written twice"
            self.messages.setdefault(user, {})[delivery.seq] = delivery
        for blocker, blocked, on in commit.blocks:
            if on:
                self.blocks[blocker, blocked] = None
            else:
                self.blocks.pop((blocker, blocked), None)
        for user, file in commit.files:
            self.files[file.name] = (user, file)
        for name in commit.dropped:
            self.files.pop(name, None)
        self.held += commit.held

    def read(self, user: str) -> tuple[wire.Delivery, ...]:
        return tuple(delivery for _, delivery in sorted(self.messages.get(user, {}).items()))

    def restore(self) -> Restored:
        return Restored(
            last_seq=max((seq for box in self.messages.values() for seq in box), default=0),
            blocks=tuple(self.blocks),
            files=tuple(self.files.values()),
            waiting={
                user: counted_by_sender(box.values()) for user, box in self.messages.items() if box
            },
        )


class Playbook:
    """A broker, the disk below it and the connections above, to play transcripts on.

    Attributes:
        broker: under test.
        store: what ``committed`` has written.
        now: seconds since the start.
    """

    def __init__(self, *online: str, block_seconds: float = 60, idle_seconds: float = 600) -> None:
        self._settings = Settings(block_seconds, idle_seconds)
        self.store = DictStore()
        self.now = 0.0
        self._count = 0
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._checks: dict[int, effects.CheckPassword] = {}
        self._commit: effects.Commit | None = None
        self._early: dict[str, tuple[wire.Delivery, ...]] = {}
        self.restart()
        for user in online:
            self.do(f"log in {user}")

    def restart(self) -> None:
        """A new broker on what the old one has left on disk."""
        self.broker = Broker(USERS, self._settings, self.store.restore())

    def play(self, transcript: str) -> None:
        """Run a transcript; fail with the difference if it went otherwise."""
        expected = [line for line in textwrap.dedent(transcript).splitlines() if line.strip()]
        actual: list[str] = []
        index = 0
        while index < len(expected):
            command = expected[index]
            end = index + 1
            while end < len(expected) and expected[end].startswith(" "):
                end += 1
            wanted = expected[index + 1 : end]
            got = ["    " + effect for effect in self.do(command)]
            actual += [command, *(wanted if _matches(wanted, got) else got)]
            index = end
        if actual != expected:
            pytest.fail("\n".join(difflib.ndiff(expected, actual)), pytrace=False)

    def do(self, line: str) -> list[str]:
        """Run one command of a transcript; return its effects as lines."""
        before, colon, after = line.partition(": ")
        if colon and " " not in before:
            batch = [_request(words) for words in after.split("; ")]
            return self.handle(commands.Requests(self._ids[before], batch))
        verb, *names = line.split()
        method = getattr(self, "_do_" + verb.replace(" ", "_"))
        lines: list[str] = method(*names)
        return lines

    def ask(self, name: str, *requests: wire.Request) -> list[str]:
        """Run requests that are no fun to write in a transcript."""
        return self.handle(commands.Requests(self._ids[name], list(requests)))

    def handle(self, command: Command) -> list[str]:
        """Let the broker handle a command; return its effects as lines."""
        done = self.broker.handle(command, self.now)
        check_invariants(self.broker)
        for effect in done:
            self._note(effect)
        return [line for effect in done for line in self._lines(effect)]

    # -- Commands ------------------------------------------------------------------------------

    def _do_open(self, name: str, address: str = "") -> list[str]:
        self._count += 1
        self._ids[name] = self._count
        self._names[self._count] = name
        address = address or "127.0.0.1"
        return self.handle(
            commands.SessionOpened(
                self._count,
                client=f"anonymous-{self._count}",
                token=f"token-{self._count}",
                address=address,
                local_address="127.0.0.1" if address == "127.0.0.1" else "10.0.0.1",
            )
        )

    def _do_log(self, _in: str, name: str, user: str = "") -> list[str]:
        user = user or name
        return [
            *self._do_open(name),
            *self.ask(name, wire.Hello(wire.PROTOCOL_VERSION, f"pc-{name}")),
            *self.ask(name, wire.Login(1, user, "secret")),
            *self._do_right(name),
        ]

    def _do_close(self, name: str) -> list[str]:
        return self.handle(commands.SessionClosed(self._ids[name]))

    def _do_fail(self, name: str, code: str) -> list[str]:
        return self.handle(commands.SessionFailed(self._ids[name], ErrorCode(code), "Enough"))

    def _do_right(self, name: str) -> list[str]:
        return self._checked(name, correct=True)

    def _do_wrong(self, name: str) -> list[str]:
        return self._checked(name, correct=False)

    def _checked(self, name: str, *, correct: bool) -> list[str]:
        check = self._checks.pop(self._ids[name])
        return self.handle(commands.PasswordChecked(check.session, check.user, correct))

    def _do_committed(self) -> list[str]:
        commit = self._end_commit()
        self.store.write(commit)
        return self.handle(commands.Committed(commit.number))

    def _do_commit(self, _failed: str) -> list[str]:
        return self.handle(commands.CommitFailed(self._end_commit().number))

    def _end_commit(self) -> effects.Commit:
        commit, self._commit = self._commit, None
        assert commit is not None, "no commit is under way"
        return commit

    def _do_loaded(self, user: str, early: str = "") -> list[str]:
        then = self._early.pop(user)
        deliveries = then if early else self.store.read(user)
        return self.handle(commands.MailboxLoaded(user, deliveries))

    def _do_load(self, _failed: str, user: str) -> list[str]:
        del self._early[user]
        return self.handle(commands.MailboxLoaded(user, None))

    def _do_wait(self, seconds: str) -> list[str]:
        end = round(self.now + float(seconds), 6)  # as exact as what people write
        lines = []
        while (deadline := self.broker.next_deadline()) <= end:
            self.now = max(self.now, deadline)
            lines += self.handle(commands.Tick())
        self.now = end
        return lines

    def _do_stop(self) -> list[str]:
        return self.handle(commands.Stop())

    def _do_deadline(self) -> list[str]:
        return [f"in {self.broker.next_deadline() - self.now:g}"]

    def _do_stopped(self) -> list[str]:
        return ["yes" if self.broker.has_stopped else "no"]

    # -- Effects -------------------------------------------------------------------------------

    def _note(self, effect: Effect) -> None:
        if isinstance(effect, effects.CheckPassword):
            self._checks[effect.session] = effect
        elif isinstance(effect, effects.Commit):
            assert self._commit is None, "at most one is under way"
            self._commit = effect
        elif isinstance(effect, effects.LoadMailbox):
            assert effect.user not in self._early, "one read at a time is enough"
            self._early[effect.user] = self.store.read(effect.user)

    def _lines(self, effect: Effect) -> list[str]:
        if isinstance(effect, effects.Send):
            name = self._names[effect.session]
            return [f"{name} < {_words(message)}" for message in effect.messages]
        return [self._line(effect)]

    def _line(self, effect: Effect) -> str:
        match effect:
            case effects.SendMany(sessions, message):
                return f"{' '.join(self._names[s] for s in sessions)} < {_words(message)}"
            case effects.Admit(session, user):
                return f"admit {self._names[session]} as {user}"
            case effects.Close(session):
                return f"close {self._names[session]}"
            case effects.CheckPassword(session, user, password):
                return f"check {self._names[session]}: {user} {password}"
            case effects.LoadMailbox(user):
                return f"load {user}"
            case effects.Commit(number, kept, forgotten, blocks, files, dropped, held):
                words = [f"{user}/{delivery.seq}" for user, delivery in kept]
                words += [f"-{user}/{seq}" for user, seq in forgotten]
                words += [f"{a}{'!' if on else '='}{b}" for a, b, on in blocks]
                words += [f"{user}+{file.name}" for user, file in files]
                words += [f"-{name}" for name in dropped]
                words += [f"held:{name}" for name in held]
                return f"commit {number}: {' '.join(words)}"
            case effects.Operated(number, outcome):
                return f"operated {number}: {outcome}"
        raise AssertionError(effect)


def _matches(wanted: Sequence[str], got: Sequence[str]) -> bool:
    """Whether these are the lines, with ``...`` for any number of them."""
    if not wanted:
        return not got
    if wanted[0].strip() == "...":
        return any(_matches(wanted[1:], got[skip:]) for skip in range(len(got) + 1))
    if not got:
        return False
    beginning, dots, _ = wanted[0].partition(" ...")
    same = got[0].startswith(beginning + " ") if dots else got[0] == wanted[0]
    return same and _matches(wanted[1:], got[1:])


def _request(text: str) -> wire.Request:
    tag, *words = shlex.split(text)
    kind = _REQUESTS[tag]
    fields: dict[str, object] = dict(zip(kind.__struct_fields__, words, strict=False))
    if kind is wire.Hello:
        fields["capabilities"] = words[2:]
    request: wire.Request = msgspec.convert({"type": tag, **fields}, kind, strict=False)
    return request


def _words(message: wire.ServerMessage) -> str:
    if isinstance(message, wire.Ok):  # how many messages had to wait has a test of its own
        return f"ok {message.id}"
    values = msgspec.structs.astuple(message)
    if isinstance(message, wire.Announcement) and not message.operator:
        values = values[:-1]
    return " ".join((str(message.__struct_config__.tag), *_values(values)))


def _values(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if isinstance(value, ErrorCode):
            yield value.value
        elif isinstance(value, str) and value and " " not in value:
            yield value
        elif isinstance(value, str):
            yield msgspec.json.encode(value).decode()
        elif isinstance(value, bytes):
            yield value.decode()
        elif isinstance(value, wire.File):
            yield value.name
        elif isinstance(value, wire.Holder):
            yield ":".join((value.user, *map(str, value.chunks)))
        elif isinstance(value, tuple):
            yield f"[{' '.join(_values(value))}]"
        else:
            yield str(value).lower()
