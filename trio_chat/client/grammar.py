"""The commands of sections 3.3 and 3.4: from a line that a person typed to a request.

Rule: pure, and the only place that knows how commands are spelled. A command is a row of
`COMMANDS`; parsing, usage errors and help follow from the row alone.

A request is made here without its number (`UNNUMBERED`, which the wire does not allow);
`connection` gives it one when it is sent. Blanks around a line and between its words do
not matter; a message is everything from its first word to its last, as it was typed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from msgspec import Struct

from .. import limits
from ..errors import ErrorCode, UsageError
from ..protocol import messages as wire

UNNUMBERED = 0
"""The id of a request that was not sent yet."""


class Help(Struct, frozen=True):
    """``help``: answered by the client itself.

    Attributes:
        lines: the answer.
    """

    lines: tuple[str, ...]


class StartPrivate(Struct, frozen=True):
    """``startprivate``: see `links`, as for the next two."""

    user: str


class Private(Struct, frozen=True):
    """``private``: a message that does not go through the server."""

    user: str
    text: str


class StopPrivate(Struct, frozen=True):
    """``stopprivate``."""

    user: str


Numbered = (
    wire.Login
    | wire.Message
    | wire.Broadcast
    | wire.WhoElse
    | wire.WhoElseSince
    | wire.Block
    | wire.Unblock
    | wire.Introduce
    | wire.Logout
)
"""The requests that have a reply."""

Line = (
    wire.Message
    | wire.Broadcast
    | wire.WhoElse
    | wire.WhoElseSince
    | wire.Block
    | wire.Unblock
    | wire.Logout
    | StartPrivate
    | Private
    | StopPrivate
    | Help
)
"""What a line that is not empty can mean."""


class Command(Struct, frozen=True):
    """One row of the table.

    Attributes:
        name: the word that it starts with.
        parameters: what must follow it; a last one named "message" takes the rest.
        summary: one short sentence for the list of commands.
        details: the further sentences of its help, one a line.
        example: a line as a person would type it.
        build: makes the line's meaning of as many words as there are parameters; it
            raises `ValueError` if a word is malformed.
    """

    name: str
    parameters: tuple[str, ...]
    summary: str
    details: tuple[str, ...]
    example: str
    build: Callable[..., Line]

    @property
    def usage(self) -> str:
        """How it is spelled, such as ``message <user> <message>``."""
        return " ".join((self.name, *(f"<{parameter}>" for parameter in self.parameters)))

    @property
    def takes_text(self) -> bool:
        """Whether its last word is a message, blanks included."""
        return self.parameters[-1:] == ("message",)


def parse(line: str) -> Line:
    """Say what a line means.

    Raises:
        UsageError: if it means nothing; the text says why.
    """
    _check_characters(line)
    name, rest = _first_word(line)
    if name == "help":
        return _parse_help(rest)
    command = _BY_NAME.get(name)
    if command is None:
        raise UsageError("Error. Invalid command")
    try:
        return command.build(*_split(rest, command))
    except (TypeError, ValueError):
        raise UsageError(f"Error. Usage: {command.usage}") from None


def parse_user(line: str) -> str:
    """The name with which somebody wants to log in; empty if there is none.

    Raises:
        UsageError: if nobody can have this name.
    """
    _check_characters(line)
    return _check_length(line.strip(_BLANKS), "A user name", limits.NAME_BYTES_MAX)


def parse_password(line: str) -> str:
    """A password: any characters, blanks included.

    Raises:
        UsageError: if nobody can have this password.
    """
    _check_characters(line)
    return _check_length(line, "A password", limits.PASSWORD_BYTES_MAX)


# -- Words -------------------------------------------------------------------------------

_BLANKS = " \t"
_GAP = re.compile(r"[ \t]+")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def _check_characters(line: str) -> None:
    """Refuse what Python makes of bytes that are not UTF-8; the wire can't carry it."""
    try:
        line.encode()
    except UnicodeEncodeError:
        raise UsageError("Error. This line is not valid UTF-8") from None


def _check_length(text: str, what: str, bytes_max: int) -> str:
    if len(text.encode()) > bytes_max:
        raise UsageError(f"Error. {what} can have at most {bytes_max} bytes")
    return text


def _first_word(line: str) -> tuple[str, str]:
    words = _GAP.split(line.strip(_BLANKS), maxsplit=1)
    return words[0], words[1] if len(words) > 1 else ""


def _split(rest: str, command: Command) -> list[str]:
    """The words after a command's name: exactly as many as it has parameters.

    Raises:
        ValueError: if there are fewer or more.
    """
    gaps = len(command.parameters) - 1 if command.takes_text else 0
    # Without a text, 0 means "at every gap" to `split`; with one parameter that is a
    # text, there is nothing to split.
    words = [rest] if command.takes_text and gaps == 0 else _GAP.split(rest, maxsplit=gaps)
    if words == [""]:
        words = []
    if len(words) != len(command.parameters):
        raise ValueError
    return words


def _user(word: str) -> str:
    """A name that can be on the wire; a longer one than the server allows is nobody's."""
    if len(word.encode()) > limits.NAME_BYTES_MAX:
        raise UsageError(ErrorCode.UNKNOWN_USER.text)
    return word


def _text(words: str) -> str:
    size = len(words.encode())
    if size > limits.TEXT_BYTES_MAX:
        raise UsageError(ErrorCode.TEXT_TOO_LONG.describe(size=size))
    return words


def _seconds(word: str) -> float:
    if _SECONDS.fullmatch(word) is None:
        raise ValueError
    seconds = float(word)
    if not math.isfinite(seconds):
        raise ValueError
    return seconds


# -- The table -----------------------------------------------------------------------------

COMMANDS = (
    Command(
        name="message",
        parameters=("user", "message"),
        summary="Send a message to one user",
        details=(
            "It is kept for a user who is offline, and delivered at the next login.",
            "Blanks inside the message are kept as you type them.",
        ),
        example="message yoda Hey Dude",
        build=lambda user, text: wire.Message(UNNUMBERED, _user(user), _text(text)),
    ),
    Command(
        name="broadcast",
        parameters=("message",),
        summary="Send a message to everybody online",
        details=("Those who are offline, or have blocked you, do not get it.",),
        example="broadcast vader sucks",
        build=lambda text: wire.Broadcast(UNNUMBERED, _text(text)),
    ),
    Command(
        name="whoelse",
        parameters=(),
        summary="List the other users who are online",
        details=(),
        example="whoelse",
        build=lambda: wire.WhoElse(UNNUMBERED),
    ),
    Command(
        name="whoelsesince",
        parameters=("seconds",),
        summary="List the other users who were online lately",
        details=(
            "It lists all who were online at any time in the last so many seconds,",
            "whether they are still online or not.",
        ),
        example="whoelsesince 200",
        build=lambda seconds: wire.WhoElseSince(UNNUMBERED, _seconds(seconds)),
    ),
    Command(
        name="block",
        parameters=("user",),
        summary="Stop a user from sending you anything",
        details=(
            "Nothing from this user reaches you any more, and they are not told when you",
            "log in or out. It lasts until you unblock them.",
        ),
        example="block hans",
        build=lambda user: wire.Block(UNNUMBERED, _user(user)),
    ),
    Command(
        name="unblock",
        parameters=("user",),
        summary="Let a blocked user send to you again",
        details=(),
        example="unblock hans",
        build=lambda user: wire.Unblock(UNNUMBERED, _user(user)),
    ),
    Command(
        name="startprivate",
        parameters=("user",),
        summary="Connect to a user directly, for private messages",
        details=(
            "Private messages do not go through the server. Once either side has started,",
            "both can send them.",
        ),
        example="startprivate luke",
        build=lambda user: StartPrivate(_user(user)),
    ),
    Command(
        name="private",
        parameters=("user", "message"),
        summary="Send a private message, after startprivate",
        details=(
            "It goes directly to the user's client, and nowhere else. If it can't be",
            "delivered, you are told.",
        ),
        example="private luke hey dude",
        build=lambda user, text: Private(_user(user), _text(text)),
    ),
    Command(
        name="stopprivate",
        parameters=("user",),
        summary="End private messaging with a user",
        details=(),
        example="stopprivate luke",
        build=lambda user: StopPrivate(_user(user)),
    ),
    Command(
        name="logout",
        parameters=(),
        summary="Log out and leave",
        details=("Ctrl-D and Ctrl-C do the same.",),
        example="logout",
        build=lambda: wire.Logout(UNNUMBERED),
    ),
)

_BY_NAME = {command.name: command for command in COMMANDS}


# -- Help ----------------------------------------------------------------------------------

_HELP_USAGE = "help [<command>]"


def _parse_help(name: str) -> Help:
    if not name:
        return Help(_list_commands())
    if _GAP.search(name):
        raise UsageError(f"Error. Usage: {_HELP_USAGE}")
    if name == "help":
        return Help((_HELP_USAGE, "List the commands, or explain one.", "Example: help message"))
    command = _BY_NAME.get(name)
    if command is None:
        raise UsageError("Error. There is no such command; 'help' lists them")
    return Help(
        (
            command.usage,
            f"{command.summary}.",
            *command.details,
            f"Example: {command.example}",
        )
    )


def _list_commands() -> tuple[str, ...]:
    rows = [(command.usage, command.summary) for command in COMMANDS]
    rows.append((_HELP_USAGE, "List the commands, or explain one"))
    width = max(len(usage) for usage, _ in rows)
    return tuple(f"{usage:<{width}}  {summary}" for usage, summary in rows)
