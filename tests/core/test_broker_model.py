"""Random stories, checked against a model that is too simple to be wrong.

The world here has people with clients that lose connections and start anew, intruders,
a disk that is slow or fails, and a server that crashes. The model predicts every reply and
every event but deliveries; those are judged by what people have seen in the end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trio_chat import limits
from trio_chat.core import commands, effects
from trio_chat.core.beginning import Settings
from trio_chat.core.broker import Broker
from trio_chat.core.commands import Command, SessionId
from trio_chat.core.effects import Effect
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .invariants import check_invariants
from .playbook import DictStore

USERS = ("hans", "yoda", "luke")
SETTINGS = Settings(block_seconds=60, idle_seconds=100)
WINDOW = 2
QUOTA = 5

TOKEN_SECONDS = 50.0

LOGINS = (1, 2)
"""People's clients log in with request 1, or 2 after a token that was refused, whatever else
they have sent before."""

Key = tuple[str, str, int]
Reply = tuple[SessionId, str, int | ErrorCode]
"""Who gets it, the type of the message, and its id or the code of a refusal."""
Public = tuple[SessionId, wire.ServerMessage]

MISFORTUNES = (
    *("lost", "lost", "lost", "lost unnoticed", "lost unnoticed", "log out", "log out"),
    *("other client", "crash", "crash after writing"),
)

users = st.sampled_from(USERS)
instants = st.sampled_from([0.0, 0.01, 0.05, 0.5, 1.0, 20.0, 60.0])


class Connection:
    """One connection, with what the server has sent and the client has not read yet."""

    def __init__(self, id: SessionId, person: Person | None, opened: float) -> None:
        self.id = id
        self.person = person
        self.inbox: deque[wire.ServerMessage] = deque()
        self.answered = False
        self.ready = False
        self.last_request = opened
        self.sent: list[int] = []
        self.read: list[int] = []
        self.asks_for_token = False


class Person:
    """A user with a client that sends again what had no answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.life = 0
        self.next_id = 3
        self.tokens: list[str] = []
        self.unanswered: dict[int, wire.Message] = {}
        self.connection: Connection | None = None
        self.shown: list[Key] = []

    @property
    def client(self) -> str:
        return f"{self.name}-{self.life}"

    def number(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def later_ones_shown(self, key: Key) -> list[Key]:
        return [other for other in self.shown if other[:2] == key[:2] and other[2] > key[2]]


class World(RuleBasedStateMachine):
    """People, connections, disk and broker, beside the model of what should happen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.people = {name: Person(name) for name in USERS}
        self.store = DictStore()
        self.count = 0
        self.promised: dict[Key, str] = {}
        self.refused: set[Key] = set()
        self.start_server()

    def start_server(self) -> None:
        self.broker = Broker(set(USERS), SETTINGS, self.store.restore())
        self.connections: dict[SessionId, Connection] = {}
        self.checks: list[tuple[SessionId, str, bool]] = []
        self.commit: effects.Commit | None = None
        self.loads: dict[str, tuple[wire.Delivery, ...]] = {}
        # The model: lists and dicts that say what each user may expect.
        self.online: dict[str, Connection] = {}
        self.past: list[tuple[str, float]] = []
        self.tokens: dict[str, tuple[SessionId, str, float]] = {}
        self.failures: Counter[str] = Counter()
        self.blocked_until: dict[str, float] = {}
        self.blocks = set(self.store.blocks)
        self.block_changes: list[tuple[str, str, bool, SessionId, int]] = []
        self.block_changes_under_way = 0
        self.answers: dict[Key, wire.Ok | ErrorCode] = {}
        self.unsafe: dict[int, SessionId] = {}
        self.waiting = {name: {d.seq: key_of(d) for d in self.store.read(name)} for name in USERS}
        self.seq = max((seq for box in self.waiting.values() for seq in box), default=0)

    # -- The broker and its effects ------------------------------------------------------------

    def handle(
        self,
        command: Command,
        replies: Iterable[Reply] = (),
        public: Iterable[Public] = (),
        maybe: Iterable[Public] = (),
    ) -> list[wire.ServerMessage]:
        """Let the broker handle a command; fail unless it says this and nothing else."""
        done = self.broker.handle(command, self.now)
        check_invariants(self.broker)
        said = [sent for effect in done for sent in sends(effect)]
        replied = [reply for reply in map(as_reply, said) if reply is not None]
        assert sorted(replied, key=str) == sorted(replies, key=str)
        published = Counter(s for s in said if isinstance(s[1], wire.Presence | wire.Announcement))
        assert published - Counter(maybe) == Counter(public)
        for effect in done:
            self.carry_out(effect)
        return [message for _, message in said]

    def carry_out(self, effect: Effect) -> None:
        for session, message in sends(effect):
            connection = self.connections[session]
            connection.inbox.append(message)
            if isinstance(message, wire.Token):
                assert message.token == f"token-{session}" and connection.asks_for_token
                assert connection in self.online.values() and not connection.answered
            elif isinstance(message, wire.Ok) and message.id in LOGINS:
                assert connection in self.online.values() and not connection.answered
                assert connection.person is not None
                assert message.waiting == len(self.waiting[connection.person.name])
                connection.answered = True
            if isinstance(message, wire.Delivery):
                self.judge_delivery(connection, message)
        if isinstance(effect, effects.Close):
            connection = self.connections.pop(effect.session)
            if connection.person and connection.person.connection is connection:
                self.read_all(connection)
                connection.person.connection = None
        elif isinstance(effect, effects.Commit):
            assert self.commit is None
            self.commit = effect
            self.block_changes_under_way = len(self.block_changes)
            assert list(effect.blocks) == [change[:3] for change in self.block_changes]
        elif isinstance(effect, effects.LoadMailbox):
            assert effect.user not in self.loads
            self.loads[effect.user] = self.store.read(effect.user)

    def judge_delivery(self, connection: Connection, delivery: wire.Delivery) -> None:
        person = connection.person
        assert person is not None and self.online[person.name] is connection
        waiting = self.waiting[person.name]
        assert waiting[delivery.seq] == key_of(delivery)
        assert connection.answered
        assert delivery.text == f"{delivery.client}:{delivery.id}"
        assert not connection.sent or delivery.seq > connection.sent[-1]
        connection.sent.append(delivery.seq)
        assert [seq for seq in waiting if seq <= delivery.seq] == [
            seq for seq in connection.sent if seq in waiting
        ], "in order, without a gap"
        assert len([seq for seq in connection.sent if seq in waiting]) <= WINDOW

    def blocks_now(self, blocker: str, blocked: str) -> bool:
        on = (blocker, blocked) in self.blocks
        for change in self.block_changes:
            if change[:2] == (blocker, blocked):
                on = change[2]
        return on

    def presence(self, user: str, online: bool) -> list[Public]:
        message = wire.Presence(user, online)
        return [
            (connection.id, message)
            for name, connection in self.online.items()
            if name != user and not self.blocks_now(user, name)
        ]

    def leave(self, connection: Connection) -> list[Public]:
        """The model's end of a session; who is to be told."""
        for name in [name for name, c in self.online.items() if c is connection]:
            del self.online[name]
            self.past.append((name, self.now))
            self.lose_token(name, connection)
            return self.presence(name, False)
        return []

    # -- Tokens ------------------------------------------------------------------------------

    def give_token(self, user: str, connection: Connection) -> None:
        """The model's end of a login: of each user the latest token holds, and for how long."""
        assert connection.person is not None
        if connection.asks_for_token:
            self.tokens[user] = (connection.id, connection.person.client, float("inf"))

    def lose_token(self, user: str, connection: Connection) -> None:
        id, client, _ = self.tokens.get(user, (0, "", 0.0))
        if id == connection.id:
            self.tokens[user] = (id, client, self.now + TOKEN_SECONDS)

    def end_token(self, user: str, connection: Connection) -> None:
        if self.tokens.get(user, (0, "", 0.0))[0] == connection.id:
            del self.tokens[user]

    def alive(self, replies: Iterable[Reply]) -> list[Reply]:
        return [reply for reply in replies if reply[0] in self.connections]

    def become_safe(self, user: str, seqs: Iterable[int]) -> list[Reply]:
        """The model's end of messages that were not safe yet; the answers that are due."""
        replies: list[Reply] = []
        for seq in seqs:
            if seq in self.unsafe:
                key = self.waiting[user][seq]
                self.answers[key] = wire.Ok(key[2])
                self.promised[key] = user
                replies.append((self.unsafe.pop(seq), "ok", key[2]))
        return self.alive(replies)

    # -- Logging in ----------------------------------------------------------------------------

    def open(self, person: Person | None, *, asks: bool = False) -> Connection:
        self.count += 1
        id = self.count
        connection = self.connections[id] = Connection(id, person, self.now)
        connection.asks_for_token = asks
        if person is not None:
            person.connection = connection
        opened = commands.SessionOpened(
            id, f"anonymous-{id}", f"token-{id}", "127.0.0.1", "127.0.0.1"
        )
        self.handle(opened)
        client = person.client if person else ""
        hello = wire.Hello(wire.PROTOCOL_VERSION, client, (wire.CODES, *[wire.RESUME] * asks))
        self.handle(commands.Requests(id, [hello]), [(id, "welcome", 0)])
        return connection

    def log_in(self, connection: Connection, user: str, right: bool, number: int = 1) -> None:
        id = connection.id
        replies: list[Reply] = []
        if self.is_locked(user):
            replies.append((id, "error", ErrorCode.STILL_BLOCKED))
        else:
            self.checks.append((id, user, right))
        self.handle(commands.Requests(id, [wire.Login(number, user, "secret")]), replies)

    def is_locked(self, user: str) -> bool:
        return self.now < self.blocked_until.get(user, 0)

    @initialize(to=users)
    def begin_with_everybody_here_and_a_message_on_disk(self, to: str) -> None:
        for user in USERS:
            self.connect_at_once(user)
        self.write("hans", to, amount=1)
        self.wait(0.05)
        if self.commit is not None:
            self.finish_commit()

    @rule(user=users, by_token=st.sampled_from([True, True, False]))
    def connect_at_once(self, user: str, by_token: bool = False) -> None:
        person = self.people[user]
        if by_token and person.tokens and person.connection is None:
            self.resume(user)
        self.connect(user)
        while self.checks:
            self.check_password(0)
        self.read(user, most=3)

    @rule(user=users, asks=st.sampled_from([True, True, False]))
    def connect(self, user: str, asks: bool = True) -> None:
        person = self.people[user]
        if person.connection is None:
            self.log_in(self.open(person, asks=asks), user, right=True)

    @rule(user=users, asks=st.sampled_from([True, True, False]), age=st.sampled_from([1, 1, 1, 2]))
    def resume(self, user: str, asks: bool = True, age: int = 1) -> None:
        """Come back with the latest token or the one before; with the password if refused."""
        person = self.people[user]
        if len(person.tokens) < age:
            return
        self.lose_connection(user, noticed=False)
        token = person.tokens[-age]
        connection = self.open(person, asks=asks)
        ghost = self.online.get(user)
        code = self.fault_of_token(user, person.client, token)
        request = wire.Resume(1, user, token)
        replies: list[Reply] = [(connection.id, "error", code)] if code else []
        public: list[Public] = []
        if code is None:
            del self.tokens[user]
            if ghost is None:
                public = self.presence(user, True)
                connection.last_request = self.now
            else:
                replies.append((ghost.id, "closed", ErrorCode.REPLACED))
                connection.last_request = ghost.last_request
            self.online[user] = connection
            self.give_token(user, connection)
        self.handle(commands.Requests(connection.id, [request]), replies, public)
        if code is ErrorCode.INVALID_TOKEN:
            self.log_in(connection, user, right=True, number=2)

    def fault_of_token(self, user: str, client: str, token: str) -> ErrorCode | None:
        id, its_client, end = self.tokens.get(user, (0, "", 0.0))
        if token != f"token-{id}" or client != its_client or self.now >= end:
            return ErrorCode.INVALID_TOKEN
        if user in self.online and self.online[user].id != id:
            return ErrorCode.ALREADY_ONLINE
        return None

    @rule(user=users)
    def steal_a_token(self, user: str) -> None:
        """It serves no other client."""
        if self.people[user].tokens:
            id = self.open(None).id
            request = wire.Resume(1, user, self.people[user].tokens[-1])
            replies: list[Reply] = [(id, "error", ErrorCode.INVALID_TOKEN)]
            self.handle(commands.Requests(id, [request]), replies)

    @rule(user=st.sampled_from([*USERS, "nobody"]), right=st.booleans())
    def intrude(self, user: str, right: bool) -> None:
        self.log_in(self.open(None), user, right and user in self.online)

    @precondition(lambda self: self.checks)
    @rule(data=st.data())
    def check_some_password(self, data: st.DataObject) -> None:
        self.check_password(data.draw(st.integers(0, len(self.checks) - 1)))

    def check_password(self, index: int) -> None:
        id, user, right = self.checks.pop(index)
        connection = self.connections.get(id)
        if connection is not None and connection.person is None and user not in self.online:
            right = False  # intruders know passwords only of those who are online
        replies: list[Reply] = []
        public: list[Public] = []
        if self.is_locked(user):
            replies = [(id, "error", ErrorCode.STILL_BLOCKED)]
        elif not right:
            self.failures[user] += 1
            replies = [(id, "error", ErrorCode.INVALID_PASSWORD)]
            if self.failures[user] == limits.LOGIN_FAILURES_MAX:
                self.failures[user] = 0
                self.blocked_until[user] = self.now + SETTINGS.block_seconds
                replies = [(id, "error", ErrorCode.NOW_BLOCKED)]
        else:
            self.failures[user] = 0
            if user in self.online:
                replies = [(id, "error", ErrorCode.ALREADY_ONLINE)]
            elif connection is not None:
                public = self.presence(user, True)
                self.online[user] = connection
                self.give_token(user, connection)
                connection.last_request = self.now
        command = commands.PasswordChecked(id, user, right)
        self.handle(command, self.alive(replies), public)

    # -- What people do ------------------------------------------------------------------------

    def request(
        self,
        person: Person,
        requests: list[wire.Request],
        replies: list[Reply],
        **more: list[Public],
    ) -> list[wire.ServerMessage]:
        assert person.connection is not None
        if not all(isinstance(request, wire.Ack) for request in requests):
            person.connection.last_request = self.now
        return self.handle(commands.Requests(person.connection.id, requests), replies, **more)

    def ready(self, user: str) -> Person | None:
        person = self.people[user]
        return person if person.connection and person.connection.ready else None

    @rule(user=users, to=st.sampled_from([*USERS, *USERS, "nobody"]), amount=st.integers(1, 4))
    def write(self, user: str, to: str, amount: int) -> None:
        person = self.people[user]
        for _ in range(amount):
            id = person.number()
            message = wire.Message(id, to, f"{person.client}:{id}")
            person.unanswered[id] = message
            if self.ready(user):
                self.send(person, [message])

    def send(self, person: Person, messages: list[wire.Message]) -> None:
        assert person.connection is not None
        replies: list[Reply] = []
        for message in messages:
            answer = self.answer(person, person.connection.id, message)
            if isinstance(answer, ErrorCode):
                replies.append((person.connection.id, "error", answer))
            elif answer is not None:
                replies.append((person.connection.id, "ok", answer.id))
        self.request(person, list(messages), replies)

    def answer(
        self, person: Person, session: SessionId, message: wire.Message
    ) -> wire.Ok | ErrorCode | None:
        """The model of sending a message, for the first time or again."""
        key = (person.name, person.client, message.id)
        if key in self.answers:
            return self.answers[key]
        for seq in self.unsafe:
            if self.waiting.get(message.to, {}).get(seq) == key:
                self.unsafe[seq] = session
                return None
        code = None
        if message.to not in USERS:
            code = ErrorCode.UNKNOWN_USER
        elif message.to == person.name:
            code = ErrorCode.MESSAGE_SELF
        elif self.blocks_now(message.to, person.name):
            code = ErrorCode.BLOCKED_BY_RECIPIENT
        else:
            waiting = self.waiting[message.to].values()
            free = QUOTA - len(waiting)
            if free < 1:
                code = ErrorCode.MAILBOX_FULL
            elif sum(sender == person.name for sender, _, _ in waiting) >= free:
                code = ErrorCode.MAILBOX_SHARE_FULL
        if code is not None:
            self.answers[key] = code
            self.refused.add(key)
            return code
        self.seq += 1
        self.unsafe[self.seq] = session
        self.waiting[message.to][self.seq] = key
        return None

    @rule(user=users)
    def broadcast(self, user: str) -> None:
        if person := self.ready(user):
            id = person.number()
            message = wire.Announcement(user, person.client, id, "all")
            public: list[Public] = [
                (connection.id, message)
                for name, connection in self.online.items()
                if name != user and not self.blocks_now(name, user)
            ]
            said = self.request(
                person, [wire.Broadcast(id, "all")], [(session(person), "sent", id)], public=public
            )
            complete = len(public) == len(self.online) - 1
            assert wire.Sent(id, complete) in said

    @rule(user=users, other=st.sampled_from([*USERS, "nobody"]), on=st.booleans())
    def block(self, user: str, other: str, on: bool) -> None:
        if person := self.ready(user):
            id = person.number()
            code = None
            if other == user:
                code = ErrorCode.BLOCK_SELF if on else ErrorCode.UNBLOCK_SELF
            elif other not in USERS:
                code = ErrorCode.UNKNOWN_USER
            elif self.blocks_now(user, other) == on:
                code = ErrorCode.ALREADY_BLOCKED if on else ErrorCode.NOT_BLOCKED
            else:
                self.block_changes.append((user, other, on, session(person), id))
            replies: list[Reply] = [(session(person), "error", code)] if code else []
            self.request(
                person, [wire.Block(id, other) if on else wire.Unblock(id, other)], replies
            )

    @rule(user=users, seconds=st.sampled_from([0.0, 0.05, 1.0, 60.0, 1e9]))
    def ask_who_else(self, user: str, seconds: float) -> None:
        if person := self.ready(user):
            now_id, since_id = person.number(), person.number()
            said = self.request(
                person,
                [wire.WhoElse(now_id), wire.WhoElseSince(since_id, seconds)],
                [(session(person), "users", now_id), (session(person), "users", since_id)],
            )
            lists = [message.users for message in said if isinstance(message, wire.Users)]
            now = set(self.online) - {user}
            gone = {name for name, end in self.past if end >= self.now - seconds} - {user}
            assert [sorted(names) for names in lists] == [sorted(now), sorted(now | gone)]

    @rule(user=users)
    def stay_active(self, user: str) -> None:
        if person := self.ready(user):
            self.request(person, [wire.Active()], [])

    @rule(user=users)
    def keep_up(self, user: str) -> None:
        self.read(user, most=100)
        self.acknowledge(user)

    @rule(user=users)
    def acknowledge(self, user: str) -> None:
        person = self.ready(user)
        if person and person.connection and person.connection.read:
            read = person.connection.read
            replies = self.become_safe(user, read)
            for seq in read:
                self.waiting[user].pop(seq, None)
            self.request(person, [wire.Ack(read[-1])], replies)

    def leave_for_good(self, user: str) -> None:
        if person := self.ready(user):
            id = person.number()
            assert person.connection is not None
            self.end_token(user, person.connection)
            public = self.leave(person.connection)
            self.request(person, [wire.Logout(id)], [(session(person), "ok", id)], public=public)

    @rule(user=users, most=st.integers(1, 5))
    def read(self, user: str, most: int) -> None:
        connection = self.people[user].connection
        if connection is not None:
            for _ in range(min(most, len(connection.inbox))):
                self.read_one(connection, connection.inbox.popleft())

    def read_all(self, connection: Connection) -> None:
        while connection.inbox:
            self.read_one(connection, connection.inbox.popleft())

    def read_one(self, connection: Connection, message: wire.ServerMessage) -> None:
        person = connection.person
        assert person is not None
        if isinstance(message, wire.Delivery):
            connection.read.append(message.seq)
            key = key_of(message)
            if key not in person.shown:
                # A refused one may be accepted after a crash, when later ones were shown.
                assert key in self.refused or not person.later_ones_shown(key)
                person.shown.append(key)
        elif isinstance(message, wire.Token):
            person.tokens.append(message.token)
        elif isinstance(message, wire.Ok) and message.id in LOGINS:
            if connection.id in self.connections:
                connection.ready = True
                self.send(person, list(person.unanswered.values()))
        elif isinstance(message, wire.Ok | wire.Error) and message.id is not None:
            person.unanswered.pop(message.id, None)

    # -- What goes wrong -----------------------------------------------------------------------

    @rule(user=users, kind=st.sampled_from(MISFORTUNES))
    def meet_misfortune(self, user: str, kind: str) -> None:
        if kind == "log out":
            self.leave_for_good(user)
        elif kind == "other client":
            self.start_another_client(user)
        elif kind.startswith("crash"):
            self.crash(written=kind == "crash after writing")
        else:
            self.lose_connection(user, noticed=kind == "lost")

    def lose_connection(self, user: str, noticed: bool) -> None:
        person = self.people[user]
        if person.connection is not None:
            connection, person.connection = person.connection, None
            if noticed:
                self.close(connection)

    @rule(data=st.data())
    def notice_a_lost_connection(self, data: st.DataObject) -> None:
        lost = [
            c for c in self.connections.values() if not c.person or c.person.connection is not c
        ]
        if lost:
            self.close(data.draw(st.sampled_from(lost)))

    def close(self, connection: Connection) -> None:
        del self.connections[connection.id]
        self.handle(commands.SessionClosed(connection.id), public=self.leave(connection))

    def start_another_client(self, user: str) -> None:
        self.lose_connection(user, noticed=True)
        person = self.people[user]
        person.life += 1
        person.next_id = 3
        person.tokens.clear()
        person.unanswered.clear()

    @precondition(lambda self: self.commit)
    @rule(fails=st.sampled_from([False, False, False, True]))
    def end_commit(self, fails: bool) -> None:
        if fails:
            self.fail_commit()
        else:
            self.finish_commit()

    def finish_commit(self) -> None:
        commit, self.commit = self.commit, None
        assert commit is not None
        self.store.write(commit)
        changes = self.block_changes[: self.block_changes_under_way]
        del self.block_changes[: self.block_changes_under_way]
        for blocker, blocked, on, _, _ in changes:
            (self.blocks.add if on else self.blocks.discard)((blocker, blocked))
        replies = [
            reply
            for user, delivery in commit.messages
            for reply in self.become_safe(user, [delivery.seq])
        ]
        replies += self.alive((to, "ok", id) for *_, to, id in changes)
        self.handle(commands.Committed(commit.number), replies)

    def fail_commit(self) -> None:
        commit, self.commit = self.commit, None
        assert commit is not None
        replies: list[Reply] = []
        for user, delivery in commit.messages:
            online = self.online.get(user)
            if online is not None and delivery.seq in online.sent:
                continue  # it may be on the screen: its sender is told nothing yet
            if delivery.seq in self.unsafe:
                key = self.waiting[user].pop(delivery.seq)
                self.answers[key] = ErrorCode.NOT_STORED
                self.refused.add(key)
                session_id = self.unsafe.pop(delivery.seq)
                replies.append((session_id, "error", ErrorCode.NOT_STORED))
        replies += [(to, "error", ErrorCode.NOT_STORED) for *_, to, _ in self.block_changes]
        self.block_changes.clear()
        self.handle(commands.CommitFailed(commit.number), self.alive(replies))

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), how=st.sampled_from(["early", "late", "late", "failed"]))
    def finish_loading(self, data: st.DataObject, how: str) -> None:
        user = data.draw(st.sampled_from(sorted(self.loads)))
        early = self.loads.pop(user)
        if how != "failed":
            deliveries = early if how == "early" else self.store.read(user)
            self.handle(commands.MailboxLoaded(user, deliveries))
        else:
            self.fail_loading(user)

    def fail_loading(self, user: str) -> None:
        replies: list[Reply] = []
        public: list[Public] = []
        if connection := self.online.get(user):
            replies = [(connection.id, "closed", ErrorCode.MAILBOX_UNREADABLE)]
            public = self.leave(connection)
        self.handle(commands.MailboxLoaded(user, None), replies, public)

    @rule(seconds=instants)
    def wait(self, seconds: float) -> None:
        end = round(self.now + seconds, 6)
        while (deadline := self.broker.next_deadline()) <= end:
            self.now = max(self.now, deadline)
            self.tick()
        self.now = end
        assert not self.overdue()

    def overdue(self) -> list[Connection]:
        online = list(self.online.values())
        return [
            c
            for c in self.connections.values()
            if self.now >= c.last_request + (SETTINGS.idle_seconds if c in online else 120)
        ]

    def tick(self) -> None:
        replies: list[Reply] = []
        public: list[Public] = []
        overdue = self.overdue()
        for connection in overdue:
            is_online = connection in self.online.values()
            code = ErrorCode.IDLE if is_online else ErrorCode.LOGIN_TIMEOUT
            replies.append((connection.id, "closed", code))
            for name in [name for name, c in self.online.items() if c is connection]:
                self.end_token(name, connection)
            public += self.leave(connection)
        # Who leaves at the same moment may or may not hear of the others.
        going = {connection.id for connection in overdue}
        sure = [told for told in public if told[0] not in going]
        names = [name for name, end in self.past if end == self.now]
        maybe = [(id, wire.Presence(name, False)) for id in going for name in names]
        self.handle(commands.Tick(), replies, sure, maybe)

    def crash(self, written: bool) -> None:
        """The server dies, maybe after the disk has written a commit that it never confirmed."""
        if written and self.commit is not None:
            self.store.write(self.commit)
        for person in self.people.values():
            person.connection = None
        self.start_server()

    # -- What must be true ---------------------------------------------------------------------

    @invariant()
    def the_model_knows_who_is_online(self) -> None:
        for connection in self.connections.values():
            name = next((n for n, c in self.online.items() if c is connection), "")
            assert self.broker.user_of(connection.id) == name
            assert connection.answered == (name != "" and name not in self.loads)

    @invariant()
    def nobody_was_promised_what_may_be_lost(self) -> None:
        for key, recipient in self.promised.items():
            on_disk = key in map(key_of, self.store.read(recipient))
            assert on_disk or key in self.people[recipient].shown

    def teardown(self) -> None:
        """In the end everybody is back, and has seen everything that was promised."""
        for connection in list(self.connections.values()):
            if connection.person is None or connection.person.connection is not connection:
                self.close(connection)
        while self.checks:
            self.check_password(0)
        self.wait(60.0)  # blocked accounts come free
        for _ in range(30):
            for user, person in self.people.items():
                self.calm_down(user, person)
        for user, person in self.people.items():
            assert not person.unanswered, "every request is answered"
            assert not self.waiting[user], "every message is delivered"
        for key, recipient in self.promised.items():
            assert key in self.people[recipient].shown

    def calm_down(self, user: str, person: Person) -> None:
        self.connect(user)
        while self.checks:
            self.check_password(0)
        while self.loads:
            name = next(iter(self.loads))
            del self.loads[name]
            self.handle(commands.MailboxLoaded(name, self.store.read(name)))
        if self.commit is not None:
            self.finish_commit()
        if person.connection is not None:
            self.read_all(person.connection)
        self.acknowledge(user)
        self.wait(0.05)


def key_of(delivery: wire.Delivery) -> Key:
    return delivery.sender, delivery.client, delivery.id


def session(person: Person) -> SessionId:
    assert person.connection is not None
    return person.connection.id


def sends(effect: Effect) -> list[Public]:
    if isinstance(effect, effects.Send):
        return [(effect.session, message) for message in effect.messages]
    if isinstance(effect, effects.SendMany):
        return [(session, effect.message) for session in effect.sessions]
    return []


def as_reply(sent: Public) -> Reply | None:
    to, message = sent
    if isinstance(message, wire.Ok) and message.id in LOGINS:
        return None  # it waits for the mailbox
    tag = str(message.__struct_config__.tag)
    match message:
        case wire.Welcome():
            return to, tag, 0
        case wire.Error() | wire.Closed():
            return to, tag, message.code
        case wire.Ok() | wire.Sent() | wire.Users():
            return to, tag, message.id
    return None


def test_random_stories_go_as_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_MESSAGES_MAX", WINDOW)
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", QUOTA)
    monkeypatch.setattr(limits, "TOKEN_SECONDS_MAX", TOKEN_SECONDS)
    run_state_machine_as_test(
        World,
        settings=settings(max_examples=150, stateful_step_count=50, report_multiple_bugs=False),
    )
