"""What the server says, as lines for a person.

Rule: pure. The wording of section 8 of the assignment stands here letter for letter, and
the rest follows its style. To show another message is to add a row to `_RENDERERS`.

Everything that came over the wire is sanitised, names included: it may have been written
by somebody who wants to move the cursor, change the title, or forge a line. Whole escape
sequences go, not only their first character; a line break inside a text begins a line
that is indented, so it can't be taken for a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ProtocolViolation
from ..protocol import messages as wire
from ..swarm.manifest import Manifest, format_chunks

WELCOME = "Welcome to the greatest messaging application ever!"

CONTINUATION = "    "
"""What a text's second and later lines begin with."""

_BREAKS = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")

_SEQUENCES = re.compile(
    r"""
    (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]                   # CSI: colours, cursor, ...
    | (?: \x1b[P\]X^_] | [\x90\x98\x9d-\x9f] )                # DCS, OSC, SOS, PM, APC: a
      [^\x07\x1b\x9c]* (?: \x07 | \x1b\\ | \x9c )             # string with its terminator
    | \x1b [ -/]* [0-~]                                       # any other one
    """,
    re.VERBOSE,
)

_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # what changes the direction of text
    "\u2028\u2029"
    "\ud800-\udfff]"  # halves of surrogate pairs, which no terminal can show
)


def clean_line(text: str) -> str:
    """Text from others for a place inside a line: nothing in it controls a terminal."""
    return _strip(_BREAKS.sub(" ", text))


def clean_lines(text: str) -> list[str]:
    """Text from others, cut where it breaks; there is at least one line."""
    return [_strip(line) for line in _BREAKS.split(text)]


def _strip(text: str) -> str:
    if text.isprintable():  # nearly all texts are; the rest may still be harmless
        return text
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\t", "    ")))


def render(message: wire.ServerMessage, request: wire.Request | None = None) -> list[str]:
    """The lines that show a message; none if there is nothing to show.

    Args:
        message: what the server sent.
        request: if that is a reply, what it replies to.
    """
    return _RENDERERS[type(message)](message, request)


def _ok(_message: wire.Ok, request: wire.Request | None) -> list[str]:
    match request:
        case wire.Login():
            return [WELCOME]
        case wire.Block():
            return [f"{clean_line(request.user)} is blocked"]
        case wire.Unblock():
            return [f"{clean_line(request.user)} is unblocked"]
        case _:
            return []


def _sent(message: wire.Sent, _request: object) -> list[str]:
    if message.complete:
        return []
    return ["Your message could not be delivered to some recipients"]


def _users(message: wire.Users, request: wire.Request | None) -> list[str]:
    if message.users:
        return [clean_line(user) for user in message.users]
    if isinstance(request, wire.WhoElseSince):
        return [f"No other users were online in the last {_format_seconds(request.seconds)}"]
    return ["No other users are online"]


def _format_seconds(seconds: float) -> str:
    number = f"{seconds:.0f}" if seconds == int(seconds) else f"{seconds}"
    return f"{number} second{'' if seconds == 1 else 's'}"


def _error(message: wire.Error | wire.Closed, _request: object) -> list[str]:
    return [clean_line(message.text)]


def _text(message: wire.Delivery | wire.Announcement, _request: object) -> list[str]:
    return _said(message.sender, message.text)


def _said(sender: str, text: str) -> list[str]:
    first, *rest = clean_lines(text)
    return [f"{clean_line(sender)}: {first}", *(CONTINUATION + line for line in rest)]


def _presence(message: wire.Presence, _request: object) -> list[str]:
    return [f"{clean_line(message.user)} logged {'in' if message.online else 'out'}"]


def _found(message: wire.Found, request: wire.Request | None) -> list[str]:
    file = message.file
    if file is None:
        return ["Not available"]
    lines = [f"Available: {clean_line(file.name)}, {_format_bytes(file.size)}"]
    is_about_chunks = isinstance(request, wire.Search) and request.chunks
    for holder in message.holders:
        chunks = format_chunks(holder.chunks).replace(",", ", ")
        if is_about_chunks or len(holder.chunks) < file.chunks:
            which = f"chunk{'' if len(holder.chunks) == 1 else 's'} {chunks} of {file.chunks}"
        else:
            which = f"all {file.chunks} chunks" if file.chunks > 1 else "all of it"
        lines.append(f"{clean_line(holder.user)}: {which}")
    return lines


def _nothing(_message: object, _request: object) -> list[str]:
    return []


_RENDERERS: dict[type, Callable[[Any, wire.Request | None], list[str]]] = {
    wire.Welcome: _nothing,
    wire.Ok: _ok,
    wire.Sent: _sent,
    wire.Users: _users,
    wire.Error: _error,
    wire.Delivery: _text,
    wire.Token: _nothing,
    wire.Announcement: _text,
    wire.Presence: _presence,
    wire.Introduction: _nothing,
    wire.Introduced: _nothing,
    wire.Registered: _nothing,
    wire.Found: _found,
    wire.Closed: _error,
}

# -- Private messaging (section 3.4, and example 7 of section 8) ---------------------------


def private(user: str, text: str) -> list[str]:
    """A message that came directly from a user."""
    return _said(f"{user}(private)", text)


def private_started(user: str) -> str:
    """There is a link to a user."""
    return f"Start private messaging with {clean_line(user)}"


def private_off(reason: str) -> str:
    """There will be no links at all."""
    return f"Private messaging is off: {clean_line(reason)}"


def private_already(user: str) -> str:
    """There was a link already, or is about to be."""
    return f"Error. Private messaging with {clean_line(user)} already started"


def private_not_enabled(user: str) -> str:
    """There is no link to send over."""
    return f"Error. Private messaging to {clean_line(user)} not enabled"


def private_gone(user: str) -> str:
    """There was a link to send over."""
    user = clean_line(user)
    return (
        f"Error. {user} is no longer online at the address of your private messaging;"
        f" 'startprivate {user}' looks for another one"
    )


def private_failed(user: str, reason: str) -> str:
    """No link could be made."""
    return f"Error. Private messaging with {clean_line(user)} failed: {clean_line(reason)}"


def private_unreachable(user: str, ourselves: str, reason: str) -> str:
    """The same, after the server has said where the user is."""
    failed, user = private_failed(user, reason), clean_line(user)
    return (
        f"{failed}. If a firewall is in"
        f" between, {user} may try 'startprivate {clean_line(ourselves)}';"
        f" 'message {user} ...' goes through the server"
    )


def private_stop(user: str) -> str:
    """Our user has ended a link."""
    return f"Stop private messaging with {clean_line(user)}"


def private_not_active(user: str) -> str:
    """There is no link to end."""
    return f"Error. Private messaging with {clean_line(user)} is not active"


def private_stopped(user: str) -> str:
    """The other user has ended a link."""
    return f"{clean_line(user)} has stopped private messaging"


def private_ended(user: str, reason: str) -> str:
    """A link has ended, and nobody has asked for it."""
    return f"Private messaging with {clean_line(user)} has ended: {reason}"


def private_unconfirmed(user: str, messages: int) -> str:
    """Said when a link ends and not everything was acknowledged."""
    user = clean_line(user)
    if messages == 1:
        return f"Error. Your last private message to {user} may not have arrived"
    return f"Error. Your last {messages} private messages to {user} may not have arrived"


# -- Files (section 3.5) -------------------------------------------------------------------


def _format_bytes(size: float) -> str:
    """An amount in a unit that suits it."""
    if size < 1024:
        return f"{size:.0f} byte{'' if size == 1 else 's'}"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def registered(manifest: Manifest, *, new: bool) -> str:
    """A file was registered by our user."""
    name = clean_line(manifest.name)
    size = f"{manifest.size:,} byte{'' if manifest.size == 1 else 's'}"
    chunks = f"{manifest.chunks} chunk{'' if manifest.chunks == 1 else 's'}"
    if manifest.chunks > 1:
        chunks += f" of {manifest.chunk_bytes:,} bytes"
    if new:
        return f"Ok. {name} is registered: {size} in {chunks}"
    return f"Ok. {name} was registered already: {size} in {chunks}; you serve all of it now"


def progress(name: str, size: int, missing: int, rate: float, sources: int) -> str:
    """How far a download is."""
    done = 1 - missing / size if size else 1.0
    bar = "#" * int(done * 20)
    peers = f"{sources} peer{'' if sources == 1 else 's'}"
    left = f", {_format_left(missing / rate)} left" if rate > 0 and missing else ""
    return f"{name} [{bar:<20}] {done:4.0%} {_format_bytes(rate)}/s{left}, {peers}"


def _format_left(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def downloaded(manifest: Manifest, path: Path, seconds: float, received: Mapping[str, int]) -> str:
    """A download is complete; says how much came from whom."""
    total = sum(received.values())
    shares = ", ".join(
        f"{clean_line(user)} {size / total:.0%}" for user, size in sorted(received.items()) if size
    )
    rate = f" in {seconds:.1f} s, {_format_bytes(total / seconds)}/s" if seconds > 0 else ""
    sources = f"; from {shares}" if shares else ""
    size = _format_bytes(manifest.size)
    return f"Downloaded {clean_line(manifest.name)}, {size}{rate}{sources}: {clean_line(str(path))}"


def sent_to_others(size: int) -> str:
    """How much of our files, or of what we fetched, went to others."""
    return f"Sent to others: {_format_bytes(size)}"


def chunks_downloaded(manifest: Manifest, chunks: Sequence[int], user: str) -> str:
    """Chunks that our user asked somebody for are here."""
    which = f"chunk{'' if len(chunks) == 1 else 's'} {format_chunks(chunks)}"
    return f"Downloaded {which} of {clean_line(manifest.name)} from {clean_line(user)}"


# -- What the client itself has to say ---------------------------------------------------

SERVER_GONE = "The server has closed the connection"
PEERS_GO_ON = "Private messaging and transfers go on; 'logout' ends them"
NO_SERVER = "Error. There is no connection to the server"
RECONNECTED = "Connected again"
OUTBOX_FULL = "Error. Too much waits for the server already. Please try again when it is back"
INPUT_ENDED = "The input ended before anybody was logged in"


def reconnecting(reason: str) -> str:
    """Said when the server is lost, and the client tries to reach it again."""
    return f"{reason}. Trying to reach it again"


def waiting(requests: int) -> str:
    """Said of what a person types before the server is reached again."""
    if requests == 1:
        return "Not connected: 1 request waits for the server"
    return f"Not connected: {requests} requests wait for the server"


def unconfirmed(requests: int) -> str:
    """Said when the client ends and the server has not answered everything."""
    if requests == 1:
        return "1 request was not answered, so it may not have been done"
    return f"{requests} requests were not answered, so they may not have been done"


def broken_protocol(violation: ProtocolViolation) -> str:
    """Said of a server that does not keep to the protocol."""
    reason = clean_line(violation.text).removeprefix("Protocol error. ")
    return f"Error. The server broke the protocol: {reason}"
