"""What goes over the wire at a client's end: the oracle reads along, with a parser of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trio_chat import limits

from .blocks import Known
from .delivery import Broken
from .history import INSTANT, Session
from .network import End
from .watched import Watched

Json = dict[str, Any]

ACTIVITY = ("message", "broadcast", "whoelse", "whoelsesince", "block", "unblock")
"""Requests that people make, and not clients by themselves."""

REPLIES = ("ok", "sent", "users", "introduction", "registered", "found", "error")

VIOLATIONS = ("bad_line", "line_too_long", "wrong_phase", "wrong_version", "id_not_increasing")

ALREADY_DONE = {"block": "already_blocked", "unblock": "not_blocked"}
"""How a repetition of what was done is refused."""


def number_in(text: str) -> int:
    """The number of a text, as `delivery` gives them out."""
    return int(text[1:].split(" ", 1)[0])


class Lines:
    """Cuts a stream into lines, and reads each as JSON."""

    def __init__(self, take: Callable[[Json], None]) -> None:
        self._rest = b""
        self._take = take

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line:
                self._take(json.loads(line))


class ServerTap:
    """One connection of a client to the server.

    Attributes:
        session: once a login was sent.

    Args:
        world: that is told.
        user: whose client it is.
        server: which of the servers it reaches.
        end: the client's.
        earlier: requests of this client on any of its connections, by their numbers.
    """

    def __init__(
        self, world: Watched, user: str, server: int, end: End, earlier: dict[int, Json]
    ) -> None:
        self.user = user
        self.session: Session | None = None
        self._world = world
        self._server = server
        self._end = end
        self._earlier = earlier
        self._repeated: set[int] = set()
        self._requests: dict[int, tuple[float, Json]] = {}
        self._seq = -1
        self._announced: dict[str, int] = {}  # the number of each sender's latest broadcast
        self._unacknowledged: list[int] = []
        self._known: set[str] | None = None  # who is online, by the last answer and the news since
        self._known_at = 0.0
        end.sent = Lines(self._sent).feed
        end.received = Lines(self._received).feed

    # -- What the client says -------------------------------------------------------------------

    def _sent(self, message: Json) -> None:
        world, now = self._world, self._world.now()
        kind = message["type"]
        world.trace(f"{self.user} > {message}")
        if kind in ("login", "resume"):
            is_active = kind == "login"
            self.session = world.history.login(
                message["user"], self._server, self._end, is_active=is_active
            )
        elif kind == "ack":
            self._unacknowledged = [s for s in self._unacknowledged if s > message["seq"]]
        if "id" in message:
            self._requests[message["id"]] = (now, message)
            if kind not in ("login", "resume"):
                self._note_repetition(message)
            if kind in ("message", "broadcast"):
                world.delivery.notes[number_in(message["text"])].servers.add(self._server)
            if len(self._requests) > limits.REQUESTS_UNANSWERED_MAX + 1:
                raise Broken(f"{self.user} has {len(self._requests)} unanswered requests")

    def _note_repetition(self, message: Json) -> None:
        before = self._earlier.setdefault(message["id"], message)
        if before is not message:
            self._repeated.add(message["id"])
            self._world.count("requests repeated")
        if before != message:
            raise Broken(f"{self.user} has used a number twice: {before}, {message}")

    # -- What the server says -------------------------------------------------------------------

    def _received(self, message: Json) -> None:
        self._world.trace(f"{self.user} < {message}")
        kind = message["type"]
        if kind == "delivery":
            self._delivery(message)
        elif kind == "announcement":
            self._announcement(message)
        elif kind == "presence":
            self._presence(message)
        elif kind == "closed":
            self._closed(message)
        elif kind == "error" and message["code"] in VIOLATIONS:
            raise Broken(f"the client of {self.user} has broken the protocol: {message}")
        elif "id" in message and kind in REPLIES:
            sent_at, request = self._requests.pop(message["id"])
            session = self.session
            if request["type"] in ("login", "resume"):
                self._login_answered(request["type"], kind)
            elif session is not None:
                session.proved_at = max(session.proved_at, sent_at)
                if request["type"] in ACTIVITY:
                    session.active_at = max(session.active_at, sent_at)
            self._answered(request, sent_at, message)

    def _login_answered(self, request: str, reply: str) -> None:
        assert self.session is not None
        if reply == "ok":
            self.session.began_at = self._world.now()
            self._world.count("logins" if request == "login" else "resumptions")
            if request == "resume" and self._world.history.has_ghost(self.session):
                self._world.count("sessions taken over")
        else:
            self._world.history.refused(self.session)
            self._world.count("logins refused")

    def _answered(self, request: Json, sent_at: float, reply: Json) -> None:
        world, code = self._world, reply.get("code")
        match request["type"]:
            case "message" | "broadcast":
                self._text_answered(number_in(request["text"]), code)
            case "block" | "unblock" as kind:
                is_done = code is None or (
                    request["id"] in self._repeated and code == ALREADY_DONE[kind]
                )
                self._block_answered(kind, request["user"], is_done, code)
            case "introduce" if code is None:
                self._told_of(request["user"], sent_at)
                world.count("introductions")
            case "search" if code is None:
                for holder in reply.get("holders", ()):
                    self._told_of(holder["user"], sent_at)
            case "whoelse" if code is None:
                self._others(sent_at, reply["users"])
            case "whoelsesince" if code is None:
                assert self.session is not None
                world.marks[self.user] = request["seconds"]
                world.history.check_since(self.session, sent_at, request["seconds"], reply["users"])
            case "logout" if code is None and self.session is not None:
                self.session.ended_at = world.now()

    def _text_answered(self, number: int, code: str | None) -> None:
        if code is None:
            self._world.delivery.acknowledged(number)
        else:
            self._world.delivery.refused(number, code)
            self._world.count(f"refused: {code}")

    def _told_of(self, other: str, asked_at: float) -> None:
        """Where to find another user, who must not have blocked this one."""
        if self._world.blocks.has_blocked(other, self.user, asked_at):
            raise Broken(f"{self.user} was told where {other} is, who blocks them")

    def _block_answered(self, kind: str, other: str, is_done: bool, code: str | None) -> None:
        known = Known.UNSURE
        if is_done:
            known = Known.BLOCKED if kind == "block" else Known.FREE
        elif code == "not_blocked":
            known = Known.FREE
        self._world.blocks.answered(self.user, other, known, self._world.now())
        self._world.count(f"{kind}s {'done' if is_done else 'refused'}")

    def _delivery(self, message: Json) -> None:
        if message["seq"] <= self._seq:
            raise Broken(f"{self.user} got seq {message['seq']} after {self._seq}")
        self._seq = message["seq"]
        self._unacknowledged.append(self._seq)
        # What the disk did not take was sent, and takes no place in the window any more.
        if (
            not self._world.counts.get("disk full")
            and len(self._unacknowledged) > limits.WINDOW_MESSAGES_MAX
        ):
            raise Broken(f"{self.user} got more than a window of messages at once")

    def _announcement(self, message: Json) -> None:
        """Between two broadcasts that came on one connection none is left out."""
        sender, number = message["from"], number_in(message["text"])
        delivery = self._world.delivery
        last = self._announced.get(sender, number)
        for between in range(last + 1, number):
            note = delivery.notes[between]
            if (
                (note.kind, note.sender, note.servers) == ("broadcast", sender, {self._server})
                and note.acknowledged_at is not None
                and self._world.blocks.is_free(self.user, sender, note.typed_at)
            ):
                raise Broken(f"{note} did not reach {self.user}, who was there")
        self._announced[sender] = number

    def _closed(self, message: Json) -> None:
        self._world.count(f"closed: {message['code']}")
        session = self.session
        if session is None:
            return
        session.ended_at = self._world.now()
        if message["code"] == "idle":
            idle = self._world.now() - session.active_at
            if session.began_at is not None and idle < self._world.idle_seconds - INSTANT:
                raise Broken(f"{self.user} was logged out after {idle:.3f} s without activity")

    # -- Presence --------------------------------------------------------------------------------

    def _is_watched(self, other: str) -> bool:
        """Whether everything that this user is told of another one can be relied on."""
        return self._world.blocks.is_free(other, self.user, self._known_at)

    def _presence(self, message: Json) -> None:
        other, online = message["user"], message.get("online", False)
        self._world.count("presence notices")
        if self._known is None:
            return
        if self._is_watched(other) and (other in self._known) is online:
            raise Broken(f"{self.user} was told twice that {other} is {'on' if online else 'off'}")
        (self._known.add if online else self._known.discard)(other)

    def _others(self, sent_at: float, names: list[str]) -> None:
        if self._known is not None:
            for other in sorted(self._known ^ set(names)):
                if self._is_watched(other):
                    raise Broken(
                        f"{self.user} was not told that {other} came or went: it knows of"
                        f" {sorted(self._known)}, online are {sorted(names)}"
                    )
        self._known, self._known_at = set(names), sent_at
        self._world.others[self.user] = sorted(names)
        self._world.count("presence checks")


class PeerTap:
    """One end of a private conversation."""

    def __init__(self, world: Watched, end: End, user: str, other: str) -> None:
        self._world = world
        self._user, self._other = user, other
        self._unacknowledged: dict[int, int] = {}
        end.sent = Lines(self._sent).feed
        end.received = Lines(self._received).feed

    def _sent(self, message: Json) -> None:
        self._world.trace(f"{self._user} => {self._other} {message}")
        if message["type"] == "private":
            self._unacknowledged[message["id"]] = number_in(message["text"])

    def _received(self, message: Json) -> None:
        if message["type"] == "ack":
            for id in [id for id in self._unacknowledged if id <= message["id"]]:
                self._world.delivery.acknowledged(self._unacknowledged.pop(id))
                self._world.count("private messages acknowledged")
