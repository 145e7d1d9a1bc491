"""Any requests from anybody, a world that fails at any moment: the broker's state stays sound.

What it answers can be sent: every message is encoded, and understood by a client.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

from tests.core.invariants import check_invariants
from tests.core.playbook import DictStore
from tests.fuzz.forgery import NAMES, forge
from tests.fuzz.reader import Reader
from trio_chat import limits
from trio_chat.core import commands, effects, orders
from trio_chat.core.beginning import Settings
from trio_chat.core.broker import Broker
from trio_chat.core.commands import Command, SessionId
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines, request_decoder, server_message_decoder

USERS = frozenset(NAMES[:4])
SETTINGS = Settings(block_seconds=5, idle_seconds=60, logins_per_minute=20)
SMALL = {
    "WINDOW_MESSAGES_MAX": 2,
    "MAILBOX_MESSAGES_MAX": 4,
    "UNSAFE_MESSAGES_MAX": 6,
    "FILES_USER_MAX": 2,
    "FILES_MAX": 4,
    "FAILED_NAMES_MAX": 2,
    "CLIENTS_REMEMBERED_MAX": 2,
}
STEPS_MAX = 300


class World:
    """A broker, and all around it that answers or not."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.now = 0.0
        self.count = 0
        self.store = DictStore()
        self.start()

    def start(self) -> None:
        """A new broker on what the last one has left on the disk."""
        self.broker = Broker(USERS, SETTINGS, self.store.restore())
        self.sessions: list[SessionId] = []
        self.last_ids: dict[SessionId, int] = {}
        self.checks: list[effects.CheckPassword] = []
        self.loads: list[str] = []
        self.commit: effects.Commit | None = None

    def handle(self, command: Command) -> None:
        done = self.broker.handle(command, self.now)
        check_invariants(self.broker)
        for effect in done:
            match effect:
                case effects.Send(_, messages):
                    understood(messages)
                case effects.SendMany(_, message):
                    understood([message])
                case effects.CheckPassword():
                    self.checks.append(effect)
                case effects.LoadMailbox(user):
                    self.loads.append(user)
                case effects.Commit():
                    assert self.commit is None, "one at a time"
                    self.commit = effect

    # -- What may happen -------------------------------------------------------------------

    def connect(self) -> None:
        self.count += 1
        address = self.reader.pick(("127.0.0.1", "192.0.2.7", "2001:db8::7"))
        self.sessions.append(self.count)
        self.last_ids[self.count] = 0
        self.handle(
            commands.SessionOpened(
                self.count, f"c{self.count}", f"t{self.count}", address, "127.0.0.1"
            )
        )

    def log_in(self) -> None:
        """As a client does; anything else would seldom get that far."""
        self.connect()
        session, user = self.count, self.reader.pick(sorted(USERS))
        hello = wire.Hello(1, self.reader.pick(("", "pc", "pad")), ("resume",))
        self.handle(commands.Requests(session, [hello, wire.Login(1, user, "secret")]))
        self.last_ids[session] = 1
        self.check_password(correct=True)

    def ask(self) -> None:
        """A batch of requests, of which any may be malformed."""
        session = self.session()
        lines = []
        for _ in range(self.reader.below(4) + 1):
            number = self.last_ids.get(session, 0) + 1
            self.last_ids[session] = number
            usual = {"id": number, "version": 1, "seq": self.broker._post.last_seq}
            lines.append(forge(self.reader, wire.Request, usual))
        decoder = request_decoder()
        decoder.line_bytes_max = limits.LINE_BYTES_MAX
        batch = decoder.feed(b"\n".join(lines) + b"\n")
        self.handle(commands.Requests(session, batch))
        if decoder.violation is not None:
            self.fail(session, decoder.violation.code)

    def session(self) -> SessionId:
        return self.reader.pick(self.sessions[-200:] or [99])

    def fail(self, session: SessionId, code: ErrorCode) -> None:
        self.handle(commands.SessionFailed(session, code, code.text))

    def be_slow(self) -> None:
        self.fail(self.session(), ErrorCode.SLOW)

    def close(self) -> None:
        self.handle(commands.SessionClosed(self.session()))

    def answer_check(self) -> None:
        self.check_password(correct=bool(self.reader.below(3)))

    def check_password(self, *, correct: bool) -> None:
        if self.checks:
            check = self.checks.pop(0)
            known = check.user in self.broker.users
            self.handle(
                commands.PasswordChecked(check.session, check.user, correct=correct and known)
            )

    def end_commit(self) -> None:
        commit, self.commit = self.commit, None
        if commit is None:
            return
        if self.reader.below(4):
            self.store.write(commit)
            self.handle(commands.Committed(commit.number))
        else:
            self.handle(commands.CommitFailed(commit.number))

    def end_load(self) -> None:
        if self.loads:
            user = self.loads.pop(0)
            deliveries = self.store.read(user) if self.reader.below(4) else None
            self.handle(commands.MailboxLoaded(user, deliveries))

    def wait(self) -> None:
        end = self.now + self.reader.pick((0.0, 0.05, 1.0, 7.0, 130.0))
        while (deadline := self.broker.next_deadline()) <= end:
            self.now = max(self.now, deadline)
            self.handle(commands.Tick())
        self.now = end

    def change_users(self) -> None:
        users = frozenset(sorted(USERS)[self.reader.below(4) :])
        self.handle(commands.UsersChanged(users, users if self.reader.below(2) else frozenset()))

    def operate(self) -> None:
        user, name = self.reader.pick(NAMES), self.reader.pick(("a", "b", "a.bin"))
        choice: tuple[orders.Order, ...] = (
            orders.Kick(user, "why"),
            orders.Announce("text", "key"),
            orders.SetLogins(on=True),
            orders.SetLogins(on=False),
            orders.RemoveFiles(name=name),
            orders.RemoveFiles(owner=user),
            orders.ForgetUser(user),
            orders.ForgetUser(user, keep=True),
        )
        self.handle(commands.Operate(1, self.reader.pick(choice)))

    def stop(self) -> None:
        self.handle(commands.Stop())

    def crash(self) -> None:
        if self.commit is not None and self.reader.below(2):
            self.store.write(self.commit)  # of which nobody has learned
        self.start()


_EVENTS: tuple[Callable[[World], None], ...] = (
    *(World.ask,) * 6,
    *(World.log_in,) * 2,
    *(World.end_commit,) * 2,
    *(World.wait, World.end_load, World.answer_check, World.connect, World.close),
    *(World.be_slow, World.change_users, World.stop, World.crash),
    World.operate,
)


def understood(messages: list[wire.ServerMessage]) -> None:
    decoder = server_message_decoder()
    assert decoder.feed(encode_lines(messages)) == messages


def one_input(data: bytes) -> None:
    reader = Reader(data)
    with patch.dict(vars(limits), SMALL):
        world = World(reader)
        for _ in range(STEPS_MAX):
            if not reader.more:
                break
            reader.pick(_EVENTS)(world)
