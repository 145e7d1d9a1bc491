"""The closed set of messages between a client and the server.

Each message is one JSON object whose ``type`` says which. A `Request` goes from client
to server; where it has an ``id``, exactly one `Reply` repeats that id. An `Event` goes
from server to client unasked. Unknown fields are ignored, so that either side may learn
new ones first.

A client numbers its requests 1, 2, 3, ... for as long as it lives, over all of its
connections. So ``(user, client, id)`` names a request for ever: it is the key by which
a repeated message is recognised by the server and by its receiver.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from .. import limits
from ..errors import ErrorCode

PROTOCOL_VERSION = 1

TICKET_CHARACTERS = 32
"""What names an introduction: 128 random bits in hexadecimal digits."""
RESUME = "resume"
"""The capability of a client that wants a `Token` at its login."""
UNREGISTER = "unregister"
"""The capability of a server that knows `Unregister`."""
CODES = "codes"
"""The capability of a client that copes with codes of errors that it does not know."""

Id = Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
Seq = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Seconds = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX)]
"""A user's, from the server: a client remembers it. (To the server it is any text: a longer one is
no user's, and refused as that.)"""

ClientId = Annotated[str, Meta(max_length=limits.CLIENT_ID_CHARACTERS_MAX)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Certificate = Annotated[bytes, Meta(max_length=limits.PEER_CERTIFICATE_BYTES_MAX)]
Purpose = Literal["private", "files"]
Ticket = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{TICKET_CHARACTERS}}}$")]


class _Message(Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """What all messages share: immutable, and known by their ``type``."""


# -- Files -------------------------------------------------------------------------------

Size = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Chunks = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=limits.CHUNKS_MAX)], ...],
    Meta(max_length=limits.CHUNKS_MAX),
]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]


class File(Struct, frozen=True, gc=False):
    """What a file is, wherever it lies (section 3.5); `swarm` says how it is cut.

    Attributes:
        name: under which it is registered.
        size: in bytes.
        chunks: how many parts users see.
        piece_bytes: the size of the pieces in which they are verified and moved.
        root: of the tree of hashes over all of it (base64 on the wire).
    """

    name: str
    size: Size
    chunks: Annotated[int, Meta(ge=0, le=limits.CHUNKS_MAX)]
    piece_bytes: Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
    root: Digest


class Holder(Struct, frozen=True, gc=False):
    """A user who is online and holds these chunks of a file, numbered from 1."""

    user: Name
    chunks: Chunks


# -- Client to server --------------------------------------------------------------------


class Hello(_Message, tag="hello", frozen=True, gc=False):
    """The first line of either side.

    Attributes:
        version: of the protocol; the server closes the connection if it is not its own.
        client: a random name that the client keeps for as long as it lives; without it
            the server makes one up, and repeated messages can't be recognised later.
        capabilities: optional features that the sender understands: `RESUME`, `CODES`.
    """

    version: int
    client: ClientId = ""
    capabilities: tuple[str, ...] = ()


class Login(_Message, tag="login", frozen=True, gc=False):
    """Authenticate this connection (section 3.1)."""

    id: Id
    user: str
    password: str


class Resume(_Message, tag="resume", frozen=True, gc=False):
    """Log in with the `Token` of an earlier connection of this client, without a password.

    If that connection seems to last, this one takes its place, and nobody else notices.
    """

    id: Id
    user: str
    token: str


class Message(_Message, tag="message", frozen=True, gc=False):
    """Send text to one user, online or not; `Ok` means that it is safe (section 3.3)."""

    id: Id
    to: str
    text: str


class Broadcast(_Message, tag="broadcast", frozen=True, gc=False):
    """Send text to everybody online who has not blocked the sender (section 3.3)."""

    id: Id
    text: str


class WhoElse(_Message, tag="whoelse", frozen=True, gc=False):
    """Ask who else is online (section 3.3).

    Attributes:
        unasked: whether the client wants to know, and nobody has asked it to; then it does not
            show that its user is there.
    """

    id: Id
    unasked: bool = False


class WhoElseSince(_Message, tag="whoelsesince", frozen=True, gc=False):
    """Ask who else was online at any moment of the last ``seconds`` (section 3.3)."""

    id: Id
    seconds: Seconds


class Block(_Message, tag="block", frozen=True, gc=False):
    """Let nothing from this user reach me any more (section 3.3)."""

    id: Id
    user: str


class Unblock(_Message, tag="unblock", frozen=True, gc=False):
    """Take back an earlier `Block` (section 3.3)."""

    id: Id
    user: str


class Listening(_Message, tag="listening", frozen=True, gc=False):
    """Where other clients can reach this one directly (section 3.4). No reply.

    The address is the one that the server sees; nobody can name another.

    Attributes:
        port: on which it listens.
        certificate: that it presents to whom it was introduced (DER, base64 on the wire).
    """

    port: Port
    certificate: Certificate


class Introduce(_Message, tag="introduce", frozen=True, gc=False):
    """Ask how to reach a user directly, and have them let us in (section 3.4).

    Attributes:
        ticket: a random name for this introduction, which the asker shows to the user's
            client when it connects.
        purpose: what for; each connection serves one.
    """

    id: Id
    user: str
    ticket: Ticket
    purpose: Purpose = "private"


class Register(_Message, tag="register", frozen=True, gc=False):
    """Make a file known, and say which of its chunks this client can serve (section 3.5).

    What it can serve replaces what it said of this file before, and holds for the session.

    Attributes:
        fetching: whether the client is fetching the file, and so will have more of it soon.
        replace: whether it takes the place of another file of the same name, if that is the
            user's; only a person can want that.
    """

    id: Id
    file: File
    chunks: Chunks
    fetching: bool = False
    replace: bool = False


class Unregister(_Message, tag="unregister", frozen=True, gc=False):
    """Serve a file no longer, and give its name up if it is the user's (section 3.5).

    If others hold the file, the name becomes that of the first of them.
    """

    id: Id
    name: str


class Search(_Message, tag="search", frozen=True, gc=False):
    """Ask who holds a file, or one of some of its chunks (section 3.5).

    Attributes:
        chunks: numbers from 1; none for any.
        fetchers: whether to tell of those too who are fetching it and have no chunk yet.
    """

    id: Id
    name: str
    chunks: Chunks = ()
    fetchers: bool = False


class Logout(_Message, tag="logout", frozen=True, gc=False):
    """End the session; the server answers `Ok` and closes the connection (section 3.3)."""

    id: Id


class Ack(_Message, tag="ack", frozen=True, gc=False):
    """All messages up to ``seq`` have been shown; the server forgets them. No reply."""

    seq: Seq


class Active(_Message, tag="active", frozen=True, gc=False):
    """The user did something that needs no server, such as a mistyped line. No reply.

    It counts against the logout for inactivity (section 3.1).
    """


Request = (
    Hello
    | Login
    | Resume
    | Message
    | Broadcast
    | WhoElse
    | WhoElseSince
    | Block
    | Unblock
    | Listening
    | Introduce
    | Register
    | Unregister
    | Search
    | Logout
    | Ack
    | Active
)

# -- Server to client: replies -------------------------------------------------------------


class Welcome(_Message, tag="welcome", frozen=True, gc=False):
    """The reply to `Hello`: what this server speaks.

    Attributes:
        capabilities: optional features that it understands: `UNREGISTER`.
    """

    version: int
    server: str
    capabilities: tuple[str, ...] = ()


class Ok(_Message, tag="ok", frozen=True, gc=False):
    """The request was done; for a `Message`: it is safe, and may be forgotten by its sender.

    Attributes:
        waiting: to a login: how many deliveries, the first ones, had to wait for it.
    """

    id: Id
    waiting: int = 0


class Sent(_Message, tag="sent", frozen=True, gc=False):
    """The reply to `Broadcast`.

    Attributes:
        complete: false if somebody online has blocked the sender.
    """

    id: Id
    complete: bool


class Users(_Message, tag="users", frozen=True, gc=False):
    """The reply to `WhoElse` and `WhoElseSince`: names, without the one who asked."""

    id: Id
    users: tuple[Name, ...]


class Introduction(_Message, tag="introduction", frozen=True, gc=False):
    """The reply to `Introduce`: where the user is, and how to know them.

    Attributes:
        address: of the user's client, as the server sees it.
        port: on which the client listens.
        certificate: that the client presents (DER, base64 on the wire).
        seconds: for how long the ticket is good.
    """

    id: Id
    address: Annotated[str, Meta(max_length=limits.ADDRESS_CHARACTERS_MAX)]
    port: Port
    certificate: Certificate
    seconds: Seconds


class Registered(_Message, tag="registered", frozen=True, gc=False):
    """The reply to `Register`.

    Attributes:
        new: false if the same file was registered before.
    """

    id: Id
    new: bool


class Found(_Message, tag="found", frozen=True, gc=False):
    """The reply to `Search`.

    Attributes:
        file: none if there is no holder whom the asker may know.
        holders: in order of login; at most `limits.HOLDERS_MAX`.
    """

    id: Id
    file: File | None = None
    holders: tuple[Holder, ...] = ()


class Error(_Message, tag="error", frozen=True, gc=False):
    """The request was refused, and changed nothing.

    Attributes:
        id: of the request; none if a line could not be read, and the connection ends.
        code: why, for programs.
        text: why, for people.
    """

    code: ErrorCode
    text: str
    id: Id | None = None


# -- Server to client: events --------------------------------------------------------------


class Delivery(_Message, tag="delivery", frozen=True, gc=False):
    """A message for this user; sent again at the next login until it is acknowledged.

    Attributes:
        seq: increases within a mailbox, with gaps; what `Ack` takes.
        sender: the user who wrote it, as the server knows from the session.
        client, id: name the sender's request; with ``sender`` the key of this message.
    """

    seq: Seq
    sender: Name = msgspec.field(name="from")
    client: ClientId
    id: Id
    text: str


class Token(_Message, tag="token", frozen=True, gc=False):
    """Takes the place of this client's password, once; comes before the `Ok` of its login."""

    token: Annotated[str, Meta(max_length=limits.TOKEN_CHARACTERS_MAX)]


class Announcement(_Message, tag="announcement", frozen=True, gc=False):
    """Somebody's `Broadcast`; its fields are those of a `Delivery`.

    It is sent once, but its sender's client may repeat it after a crash of the server.

    Attributes:
        operator: whether it is the server's operator who says it; ``sender`` is no user then.
    """

    sender: Name = msgspec.field(name="from")
    client: ClientId
    id: Id
    text: str
    operator: bool = False


class Presence(_Message, tag="presence", frozen=True, gc=False):
    """Somebody logged in or out (section 3.1, presence broadcasts)."""

    user: Name
    online: bool


class Introduced(_Message, tag="introduced", frozen=True, gc=False):
    """Somebody was told how to reach this client; let them in, and nobody else (section 3.4).

    Attributes:
        user: who it is, as the server knows from the session.
        certificate: that their client presents (DER, base64 on the wire).
        ticket: that their client shows, once.
        seconds: for how long the ticket is good.
        purpose: what for.
    """

    user: Name
    certificate: Certificate
    ticket: Ticket
    seconds: Seconds
    purpose: Purpose = "private"


class Closed(_Message, tag="closed", frozen=True, gc=False):
    """The server ends this session for a reason of its own; the connection closes next."""

    code: ErrorCode
    text: str


Reply = Welcome | Ok | Sent | Users | Introduction | Registered | Found | Error
Event = Delivery | Token | Announcement | Presence | Introduced | Closed
ServerMessage = Reply | Event

REPLY_TO: dict[type[Request], type[Reply]] = {
    Hello: Welcome,
    Login: Ok,
    Resume: Ok,
    Message: Ok,
    Broadcast: Sent,
    WhoElse: Users,
    WhoElseSince: Users,
    Block: Ok,
    Unblock: Ok,
    Introduce: Introduction,
    Register: Registered,
    Unregister: Ok,
    Search: Found,
    Logout: Ok,
}
"""What each request is answered with, unless it is refused by an `Error`."""
