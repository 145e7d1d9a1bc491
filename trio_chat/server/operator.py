"""The operator's commands to a running server: end a session, announce, refuse logins, files.

Each asks the server through its admin socket, and tells what came of it in lines for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import trio

from .. import limits
from ..core.orders import Announce, Kick, Order, Outcome, RemoveFiles, SetLogins
from ..errors import FailureError, UsageError
from ..protocol.framing import encode_line
from ..text import clean_line
from .admin import (
    SOCKET_NAME,
    Answer,
    AskFiles,
    Files,
    ListedFile,
    NobodyAnswersError,
    Question,
    ask,
)

A = TypeVar("A", bound=Answer)

NOT_STORED = "the server could not store this; see what its log says about the disk"


def ask_server(directory: Path, question: Question, kind: type[A]) -> A:
    """Ask the server on a data directory something that it answers soon.

    Raises:
        NobodyAnswersError: if there is none; it says where.
        FailureError: if it does not answer in time.
    """

    async def in_time() -> Answer:
        with trio.fail_after(limits.ADMIN_SECONDS_MAX):
            return await ask(directory / SOCKET_NAME, question)

    try:
        answer = trio.run(in_time)
    except NobodyAnswersError:
        raise NobodyAnswersError(
            f"no server answers at {directory / SOCKET_NAME}; is it running, with this data"
            " directory, as this user?"
        ) from None
    except trio.TooSlowError:
        raise FailureError(
            f"the server did not answer within {limits.ADMIN_SECONDS_MAX:.0f} seconds"
        ) from None
    assert isinstance(answer, kind)
    return answer


def _order(directory: Path, order: Order) -> Outcome:
    return ask_server(directory, order, Outcome)


def kick(directory: Path, user: str, text: str) -> str:
    """End a user's session; return what to tell about that.

    Raises:
        FailureError: if that did not work.
    """
    if _order(directory, Kick(user, _line(text))).problem:
        raise FailureError(f"{user} is not online")
    return (
        f"Ended the session of {user}. They can log in again; 'passwd --remove {user}' ends the"
        " account."
    )


def announce(directory: Path, text: str) -> str:
    """Tell everybody who is online something; return what to tell about that.

    Raises:
        UsageError: if nobody can be told that.
        FailureError: if that did not work.
    """
    size = len(text.encode(errors="surrogateescape"))
    if not text.strip() or size > limits.TEXT_BYTES_MAX:
        raise UsageError(f"an announcement has 1 to {limits.TEXT_BYTES_MAX} bytes; this has {size}")
    users = _order(directory, Announce(_utf8(text))).users
    return f"Told {count(users, 'user')} who {'is' if users == 1 else 'are'} online."


def set_logins(directory: Path, on: bool, text: str) -> str:
    """Let people log in, or nobody; return what to tell about that.

    Raises:
        FailureError: if that did not work.
    """
    _order(directory, SetLogins(on, _line(text)))
    if on:
        return "People can log in."
    return (
        "Nobody can log in any more, until 'logins PORT on' or the server's next start; whoever is"
        " online stays."
    )


def remove_files(directory: Path, name: str, owner: str) -> str:
    """Remove one name of the catalogue, or all of a user; return what to tell about that.

    Raises:
        FailureError: if that did not work.
    """
    outcome = _order(directory, RemoveFiles(name, owner))
    if outcome.problem == "no_file":
        what = f"no file is registered as {name}" if name else f"{owner} has registered no files"
        raise FailureError(what)
    if outcome.problem:
        raise FailureError(NOT_STORED)
    return f"Removed {count(outcome.files, 'registered file')}."


def list_files(directory: Path, owner: str, *, as_json: bool) -> str:
    """The registered files, of all or of one user: lines for people, or an object a line.

    Raises:
        FailureError: if no server answers.
    """
    files: list[ListedFile] = []
    start = 0
    while found := ask_server(directory, AskFiles(start), Files).files:
        start += len(found)
        files += [file for file in found if owner in ("", file.owner)]
    files.sort(key=lambda file: file.name)
    if as_json:
        return "\n".join(encode_line(file).decode() for file in files)
    return "\n".join([*map(_described, files), f"{count(len(files), 'registered file')}."])


def _described(file: ListedFile) -> str:
    held = f"{count(file.holders, 'holder')} online"
    if not file.holders:
        held = f"nobody for {count(int(file.idle // 86400), 'day')}"
    return f"{clean_line(file.name)}  {file.size:,} bytes, of {file.owner}, {held}"


def count(number: int, one: str, many: str = "") -> str:
    """A number of things, for people."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _line(text: str) -> str:
    return " ".join(_utf8(text).split())[: limits.TEXT_BYTES_MAX // 4]


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid UTF-8") from None
    return text
