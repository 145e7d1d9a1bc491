"""The commands of sections 3.3 to 3.5: from a line that a person typed to a request.

Rule: pure, and the only place that knows how commands are spelled. A command is a row of
`COMMANDS`; parsing, usage errors and help follow from the row alone. `words` knows how each
parameter is spelled, and `meanings` what may come out of a line.

A request is made here without its number (`UNNUMBERED`, which the wire does not allow);
`session` gives it one when it is sent. Blanks around a line and between its words do
not matter; a message is everything from its first word to its last, as it was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from .. import limits
from ..errors import UsageError
from ..protocol import messages as wire
from ..swarm.manifest import parse_chunks
from ..text import BLANKS, normal, trim
from . import words
from .guesses import guess
from .meanings import (
    UNNUMBERED,
    Cancel,
    Download,
    DownloadChunks,
    Help,
    Line,
    ListDownloads,
    Private,
    RegisterFile,
    StartPrivate,
    StopPrivate,
    UnregisterFile,
    Wait,
)


class Command(Struct, frozen=True):
    """One row of the table.

    Attributes:
        name: the word that it starts with.
        parameters: what must follow it; a last one of `_RESTS` takes the rest.
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
        return self.parameters[-1:] != () and self.parameters[-1] in _RESTS


class UnknownCommandError(UsageError):
    """A line begins with no command.

    Attributes:
        hint: what may have been meant, in a sentence.
    """

    def __init__(self, word: str) -> None:
        super().__init__("Error. Invalid command")
        self.hint = guess(word, COMMAND_NAMES)


def parse(line: str) -> Line:
    """Say what a line means.

    Raises:
        UsageError: if it means nothing; the text says why.
    """
    words.check_characters(line)
    name, rest = words.first_word(line)
    if name == "help":
        return _parse_help(rest)
    command = _BY_NAME.get(name)
    if command is None:
        raise UnknownCommandError(name)
    try:
        return command.build(*_split(rest, command))
    except (TypeError, ValueError):
        raise UsageError(f"Error. Usage: {command.usage}") from None


def parse_user(line: str) -> str:
    """The name with which somebody wants to log in; empty if there is none.

    Raises:
        UsageError: if nobody can have this name.
    """
    words.check_characters(line)
    return words.check_length(normal(trim(line)), "A user name", limits.NAME_BYTES_MAX)


def parse_password(line: str) -> str:
    """A password: any characters but blanks, which are left out around it.

    It is not composed as names are: the server knows in which form it was kept.

    Raises:
        UsageError: if nobody can have this password.
    """
    words.check_characters(line)
    return words.check_length(trim(line), "A password", limits.PASSWORD_BYTES_MAX)


_RESTS = frozenset({"message", "filename", "chunks"})
"""Parameters that may hold blanks."""


def _split(rest: str, command: Command) -> list[str]:
    """The words after a command's name: exactly as many as it has parameters.

    Raises:
        ValueError: if there are fewer or more.
    """
    gaps = len(command.parameters) - 1 if command.takes_text else 0
    # Without a text, 0 means "at every gap" to `split`; with one parameter that is a
    # text, there is nothing to split.
    found = [rest] if command.takes_text and gaps == 0 else words.GAP.split(rest, maxsplit=gaps)
    if found == [""]:
        found = []
    if len(found) != len(command.parameters):
        raise ValueError
    return found


def _search_chunks(rest: str) -> wire.Search:
    name, chunks = words.name_and_chunks(rest)
    try:
        return wire.Search(UNNUMBERED, name, parse_chunks(chunks, limits.CHUNKS_MAX))
    except ValueError as error:
        raise UsageError(f"Error. {error}") from None


def _private(user: str, text: str) -> Private | DownloadChunks:
    """A message, or ``download <filename> <chunk>`` if it is exactly that.

    A name with blanks has to stand in quotes here, or many a message would be a download.
    """
    first, rest = words.first_word(text)
    found = words.NAME_AND_CHUNKS.fullmatch(rest)
    if first == "download" and found is not None:
        is_one = words.GAP.search(found[1]) is None or words.is_quoted(found[1])
        if is_one and words.GAP.search(found[2]) is None:
            return DownloadChunks(words.user(user), words.file_name(found[1]), found[2])
    return Private(words.user(user), words.text(text))


def mistyped_download(text: str, files: Collection[str]) -> str | None:
    """The usage of a chunk's download, if a private message looks like one that went wrong.

    Args:
        text: the message, which is no download.
        files: the names that may be meant; of others nobody can say what is meant.
    """
    first, rest = words.first_word(text)
    name = rest.rpartition(" ")[0].rstrip(BLANKS)
    may_be = {words.unquoted(rest), words.unquoted(name)}  # the chunk is missing, or is none
    if first != "download" or may_be.isdisjoint(files):
        return None
    return "private <user> download <filename> <chunk>"


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
        build=lambda user, text: wire.Message(UNNUMBERED, words.user(user), words.text(text)),
    ),
    Command(
        name="broadcast",
        parameters=("message",),
        summary="Send a message to everybody online",
        details=("Those who are offline, or have blocked you, do not get it.",),
        example="broadcast vader sucks",
        build=lambda text: wire.Broadcast(UNNUMBERED, words.text(text)),
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
        build=lambda seconds: wire.WhoElseSince(UNNUMBERED, words.seconds(seconds)),
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
        build=lambda user: wire.Block(UNNUMBERED, words.user(user)),
    ),
    Command(
        name="unblock",
        parameters=("user",),
        summary="Let a blocked user send to you again",
        details=(),
        example="unblock hans",
        build=lambda user: wire.Unblock(UNNUMBERED, words.user(user)),
    ),
    Command(
        name="startprivate",
        parameters=("user",),
        summary="Connect to a user, for private messages",
        details=(
            "Private messages do not go through the server. Once either side has started,",
            "both can send them.",
        ),
        example="startprivate luke",
        build=lambda user: StartPrivate(words.user(user)),
    ),
    Command(
        name="private",
        parameters=("user", "message"),
        summary="Send a private message, after startprivate",
        details=(
            "It goes directly to the user's client, and nowhere else. If it can't be",
            "delivered, you are told.",
            "'private <user> download <filename> <chunk>' fetches a chunk of a file instead,",
            "such as 'private luke download map.pdf 3'; a name with blanks stands in quotes.",
        ),
        example="private luke hey dude",
        build=_private,
    ),
    Command(
        name="stopprivate",
        parameters=("user",),
        summary="End private messaging with a user",
        details=(),
        example="stopprivate luke",
        build=lambda user: StopPrivate(words.user(user)),
    ),
    Command(
        name="register",
        parameters=("filename",),
        summary="Share a file with everybody",
        details=(
            "Others can fetch it from you while you are online, and pass it on.",
            "A path with blanks may stand in quotes; '~' is your home directory.",
            "Registering a changed file of yours again makes it the new version for all.",
        ),
        example="register ~/maps/hoth.pdf",
        build=lambda path: RegisterFile(words.path(path)),
    ),
    Command(
        name="unregister",
        parameters=("filename",),
        summary="Share a file no longer",
        details=(
            "If others have the file, they go on sharing it, and its name becomes theirs.",
            "The file itself stays where it is.",
        ),
        example="unregister hoth.pdf",
        build=lambda name: UnregisterFile(words.file_name(name)),
    ),
    Command(
        name="searchFile",
        parameters=("filename",),
        summary="See who has a file, or parts of it",
        details=(),
        example="searchFile hoth.pdf",
        build=lambda name: wire.Search(UNNUMBERED, words.file_name(name)),
    ),
    Command(
        name="searchChunk",
        parameters=("filename", "chunks"),
        summary="See who has some chunks of a file",
        details=("Chunks are numbered from 1 to 10, and written as 3, 1 4, 1,4 or 2-5.",),
        example="searchChunk hoth.pdf 2-5",
        build=lambda *words: _search_chunks(" ".join(words)),
    ),
    Command(
        name="download",
        parameters=("filename",),
        summary="Fetch a file from all who have it",
        details=(
            "It comes from all of them at once, and you pass on what you have meanwhile.",
            "If it ends early, the same command goes on where it ended.",
        ),
        example="download hoth.pdf",
        build=lambda name: Download(words.file_name(name)),
    ),
    Command(
        name="downloads",
        parameters=(),
        summary="See how far downloads are",
        details=(),
        example="downloads",
        build=ListDownloads,
    ),
    Command(
        name="cancel",
        parameters=("filename",),
        summary="Stop a download",
        details=("What is here of it stays; 'download' goes on with it.",),
        example="cancel hoth.pdf",
        build=lambda name: Cancel(words.file_name(name)),
    ),
    Command(
        name="wait",
        parameters=(),
        summary="In a script: wait until all before it is done",
        details=(
            "The next line is read when all is answered, and all transfers have ended.",
            "A script that logs out, or ends, waits likewise.",
        ),
        example="wait",
        build=Wait,
    ),
    Command(
        name="logout",
        parameters=(),
        summary="Log out and leave",
        details=("Ctrl-D and Ctrl-C on an empty line do the same.",),
        example="logout",
        build=lambda: wire.Logout(UNNUMBERED),
    ),
)

_BY_NAME = {command.name: command for command in COMMANDS}

COMMAND_NAMES = (*_BY_NAME, "help")


def command_named(name: str) -> Command | None:
    """The row of a command; none if there is no such command."""
    return _BY_NAME.get(name)


# -- Help ----------------------------------------------------------------------------------

_HELP_USAGE = "help [<command>]"


def _parse_help(name: str) -> Help:
    if not name:
        return Help(_list_commands())
    if words.GAP.search(name):
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
