"""What the server says, and what comes of commands, as notices.

Rule: pure. Notices are made here and, about files, in `files.render`. The wording of section 8 of
the assignment stands here letter for letter, and the rest follows its style. To show another
message is to add a row to `_RENDERERS`.

Everything that came over the wire is cleaned, names included (`clean`). A line break inside a
text begins a line that is indented, so it can't be taken for a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..errors import ErrorCode, ProtocolViolation, UsageError
from ..protocol import messages as wire
from ..swarm.manifest import format_chunks
from ..text import clean_line, clean_lines
from .files.render import format_bytes
from .grammar import UnknownCommandError
from .notice import Kind, Notice, error, notice

WELCOME = "Welcome to the greatest messaging application ever!"

CONTINUATION = "    "
"""What a text's second and later lines begin with."""


def render(
    message: wire.ServerMessage,
    request: wire.Request | None = None,
    *,
    has_waited: bool = False,
) -> list[Notice]:
    """The notices that show a message; none if it is of no interest to anybody.

    Args:
        message: what the server sent.
        request: if that is a reply, what it replies to.
        has_waited: whether it is a delivery that had to wait for the login.
    """
    notices = _RENDERERS[type(message)](message, request)
    if has_waited:
        return [msgspec.structs.replace(notice, has_waited=True) for notice in notices]
    return notices


def command_of(request: wire.Request | None) -> str:
    """The command that a request is made for, as a person types it; empty if there is none."""
    match request:
        case None:
            return ""
        case wire.Introduce():
            return "startprivate"
        case wire.Search(chunks=()):
            return "searchFile"
        case wire.Search():
            return "searchChunk"
        case _:
            tag = request.__struct_config__.tag
            assert isinstance(tag, str)
            return tag


def user_of(request: wire.Request | None) -> str | None:
    """Whom a request concerns, if it is one user."""
    match request:
        case wire.Message(to=user):
            return clean_line(user)
        case wire.Block(user=user) | wire.Unblock(user=user) | wire.Introduce(user=user):
            return clean_line(user)
        case _:
            return None


def _ok(_message: wire.Ok, request: wire.Request | None) -> list[Notice]:
    match request:
        case wire.Login():
            return [notice(Kind.WELCOME, WELCOME, user=clean_line(request.user))]
        case wire.Block():
            lines = [f"{clean_line(request.user)} is blocked"]
        case wire.Unblock():
            lines = [f"{clean_line(request.user)} is unblocked"]
        case _:
            lines = []
    return [notice(Kind.OK, *lines, command=command_of(request), user=user_of(request))]


def _sent(message: wire.Sent, request: wire.Request | None) -> list[Notice]:
    lines = [] if message.complete else ["Your message could not be delivered to some recipients"]
    return [notice(Kind.OK, *lines, command=command_of(request), user=user_of(request))]


def _users(message: wire.Users, request: wire.Request | None) -> list[Notice]:
    users = [clean_line(user) for user in message.users]
    lines = users
    if not users and isinstance(request, wire.WhoElseSince):
        lines = [f"No other users were online in the last {_format_seconds(request.seconds)}"]
    elif not users:
        lines = ["No other users are online"]
    return [notice(Kind.USERS, *lines, command=command_of(request), users=users)]


def _format_seconds(seconds: float) -> str:
    number = f"{seconds:.0f}" if seconds == int(seconds) else f"{seconds}"
    return f"{number} second{'' if seconds == 1 else 's'}"


def _refusal(message: wire.Error, request: wire.Request | None) -> list[Notice]:
    return [refused(message, command_of(request), user_of(request))]


def _closed(message: wire.Closed, _request: object) -> list[Notice]:
    return [notice(Kind.CLOSED, clean_line(message.text), code=message.code.value)]


def _delivery(message: wire.Delivery, _request: object) -> list[Notice]:
    return [_said(Kind.MESSAGE, message.sender, message.text)]


def _announcement(message: wire.Announcement, _request: object) -> list[Notice]:
    return [_said(Kind.BROADCAST, message.sender, message.text)]


def _said(kind: Kind, sender: str, text: str) -> Notice:
    sender, lines = clean_line(sender), clean_lines(text)
    first, *rest = lines
    label = f"{sender}(private)" if kind is Kind.PRIVATE else sender
    shown = (f"{label}: {first}", *(CONTINUATION + line for line in rest))
    return Notice(kind, shown, {"from": sender, "text": "\n".join(lines)})


def _presence(message: wire.Presence, _request: object) -> list[Notice]:
    user = clean_line(message.user)
    line = f"{user} logged {'in' if message.online else 'out'}"
    return [notice(Kind.PRESENCE, line, user=user, online=message.online)]


def _found(message: wire.Found, request: wire.Request | None) -> list[Notice]:
    name = clean_line(request.name) if isinstance(request, wire.Search) else ""
    file = message.file
    if file is None:
        return [notice(Kind.FOUND, "Not available", name=name, size=None, chunks=None, holders=[])]
    lines = [f"Available: {clean_line(file.name)}, {format_bytes(file.size)}"]
    is_about_chunks = isinstance(request, wire.Search) and request.chunks
    holders = [(clean_line(holder.user), holder.chunks) for holder in message.holders]
    for user, chunks in holders:
        if is_about_chunks or len(chunks) < file.chunks:
            numbers = format_chunks(chunks).replace(",", ", ")
            which = f"chunk{'' if len(chunks) == 1 else 's'} {numbers} of {file.chunks}"
        else:
            which = f"all {file.chunks} chunks" if file.chunks > 1 else "all of it"
        lines.append(f"{user}: {which}")
    return [
        notice(
            Kind.FOUND,
            *lines,
            name=name,
            size=file.size,
            chunks=file.chunks,
            holders=[{"user": user, "chunks": list(chunks)} for user, chunks in holders],
        )
    ]


def _nothing(_message: object, _request: object) -> list[Notice]:
    return []


_RENDERERS: dict[type, Callable[[Any, wire.Request | None], list[Notice]]] = {
    wire.Welcome: _nothing,
    wire.Ok: _ok,
    wire.Sent: _sent,
    wire.Users: _users,
    wire.Error: _refusal,
    wire.Delivery: _delivery,
    wire.Token: _nothing,
    wire.Announcement: _announcement,
    wire.Presence: _presence,
    wire.Introduction: _nothing,
    wire.Introduced: _nothing,
    wire.Registered: _nothing,
    wire.Found: _found,
    wire.Closed: _closed,
}


def refused(message: wire.Error, command: str, user: str | None = None) -> Notice:
    """The server refuses what a command needs."""
    return error(message.code.value, clean_line(message.text), command, user)


# -- Private messaging (section 3.4, and example 7 of section 8) ---------------------------


def private(user: str, text: str) -> Notice:
    """A message that came directly from a user."""
    return _said(Kind.PRIVATE, user, text)


def _link(user: str, state: str, line: str) -> Notice:
    return notice(Kind.LINK, line, user=clean_line(user), state=state)


def private_started(user: str) -> Notice:
    """There is a link to a user."""
    return _link(user, "started", f"Start private messaging with {clean_line(user)}")


def private_off(reason: str) -> Notice:
    """There will be no links at all."""
    return notice(Kind.INFO, f"Private messaging is off: {clean_line(reason)}")


def private_already(user: str) -> Notice:
    """There was a link already, or is about to be."""
    line = f"Error. Private messaging with {clean_line(user)} already started"
    return error("private_already", line, "startprivate", clean_line(user))


def private_self() -> Notice:
    """Our user has written to themselves."""
    code = ErrorCode.MESSAGE_SELF
    return error(code.value, code.text, "private")


def private_not_enabled(user: str) -> Notice:
    """There is no link to send over."""
    line = f"Error. Private messaging to {clean_line(user)} not enabled"
    return error("private_not_enabled", line, "private", clean_line(user))


def private_gone(user: str) -> Notice:
    """There was a link to send over."""
    user = clean_line(user)
    return error(
        "private_gone",
        f"Error. {user} is no longer online at the address of your private messaging;"
        f" 'startprivate {user}' looks for another one",
        "private",
        user,
    )


def private_failed(user: str, reason: str) -> Notice:
    """No link could be made."""
    return error("private_failed", _failed(user, reason), "startprivate", clean_line(user))


def _failed(user: str, reason: str) -> str:
    return f"Error. Private messaging with {clean_line(user)} failed: {clean_line(reason)}"


def private_unreachable(user: str, ourselves: str, reason: str) -> Notice:
    """The same, after the server has said where the user is."""
    failed, user = _failed(user, reason), clean_line(user)
    return error(
        "private_failed",
        f"{failed}. If a firewall is in"
        f" between, {user} may try 'startprivate {clean_line(ourselves)}';"
        f" 'message {user} ...' goes through the server",
        "startprivate",
        user,
    )


def private_stop(user: str) -> Notice:
    """Our user has ended a link."""
    return _link(user, "stopped", f"Stop private messaging with {clean_line(user)}")


def private_not_active(user: str) -> Notice:
    """There is no link to end."""
    line = f"Error. Private messaging with {clean_line(user)} is not active"
    return error("private_not_active", line, "stopprivate", clean_line(user))


def private_stopped(user: str) -> Notice:
    """The other user has ended a link."""
    return _link(user, "stopped", f"{clean_line(user)} has stopped private messaging")


def private_ended(user: str, reason: str) -> Notice:
    """A link has ended, and nobody has asked for it."""
    return _link(user, "ended", f"Private messaging with {clean_line(user)} has ended: {reason}")


def private_unconfirmed(user: str, messages: int) -> Notice:
    """Said when a link ends and not everything was acknowledged."""
    what = "private message" if messages == 1 else f"{messages} private messages"
    line = f"Error. Your last {what} to {clean_line(user)} may not have arrived"
    return error("private_unconfirmed", line, "private", clean_line(user))


# -- What the client itself has to say ---------------------------------------------------


def info(line: str) -> Notice:
    """What the client has to say, and nobody has asked for."""
    return notice(Kind.INFO, clean_line(line))


def misused(problem: UsageError) -> Notice:
    """A line that means nothing; says why."""
    if isinstance(problem, UnknownCommandError):
        return error("invalid_command", str(problem), hint=problem.hint)
    return error("usage", str(problem))


def help_text(lines: Sequence[str]) -> Notice:
    """The answer to `help`."""
    return notice(Kind.HELP, *lines)


def waited() -> Notice:
    """All that a script has waited for is done."""
    return notice(Kind.OK, command="wait", user=None)


def failure(reason: str) -> Notice:
    """There is no server to chat with, or not any more."""
    return error("failure", clean_line(reason))


def peers_go_on() -> Notice:
    """The server has gone, and there is something that does not need it."""
    return info("Private messaging and transfers go on; 'logout' ends them")


def no_server(command: str = "") -> Notice:
    """A command needs the server, and that has gone."""
    return error("no_server", "Error. There is no connection to the server", command)


def input_ended() -> Notice:
    """There is nothing more to read, and nobody is logged in."""
    return error("input_ended", "The input ended before anybody was logged in")


def server_gone(seen: str) -> Notice:
    """There is no server any more."""
    return error("server_gone", seen)


def with_unanswered(notices: Sequence[Notice], unanswered: int) -> tuple[Notice, ...]:
    """The same notices of an end, which say too how much it leaves unanswered."""
    if not notices:
        return (unconfirmed(unanswered),)
    *others, last = notices
    line = f"{last.lines[-1].removesuffix('.')}. {_unconfirmed(unanswered)}"
    lines = (*last.lines[:-1], line)
    fields = {**last.fields, "text": "\n".join(lines)}
    return (*others, msgspec.structs.replace(last, lines=lines, fields=fields))


def reconnecting(reason: Notice) -> Notice:
    """The server is lost, and the client tries to reach it again."""
    line = f"{reason.lines[-1]}. Trying to reach it again"
    return notice(Kind.CONNECTION, line, state="lost")


def reconnected() -> Notice:
    """The server was reached again."""
    return notice(Kind.CONNECTION, "Connected again", state="restored")


def waiting(requests: int) -> Notice:
    """What a person types waits until the server is reached again."""
    if requests == 1:
        return info("Not connected: 1 request waits for the server")
    return info(f"Not connected: {requests} requests wait for the server")


def outbox_full(command: str) -> Notice:
    """More can't wait."""
    line = "Error. Too much waits for the server already. Please try again when it is back"
    return error("outbox_full", line, command)


def unconfirmed(requests: int) -> Notice:
    """Said when the client ends and the server has not answered everything."""
    return error("unconfirmed", _unconfirmed(requests))


def _unconfirmed(requests: int) -> str:
    if requests == 1:
        return "1 request was not answered, so it may not have been done"
    return f"{requests} requests were not answered, so they may not have been done"


def broken_protocol(violation: ProtocolViolation) -> Notice:
    """Said of a server that does not keep to the protocol."""
    reason = clean_line(violation.text).removeprefix("Protocol error. ")
    return error("broken_protocol", f"Error. The server broke the protocol: {reason}")
