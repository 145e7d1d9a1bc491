"""What an operator does beside running a server: back up, restore, see how it does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from ..errors import FailureError
from ..storage.backup import Contents, back_up, copy_at_rest, restore
from ..storage.store import InUseError
from .admin import SOCKET_NAME, AskCopy, AskStatus, Copied, NobodyAnswersError, ask
from .health import Status
from .operator import ask_server, count


def save(directory: Path, path: Path) -> str:
    """Back up the data of a server, running or not; return what to tell about that.

    Raises:
        FailureError: if that did not work; nothing is left at the path then.
    """
    path = path.absolute()
    copied: Copied | None = None

    def copy(temporary: Path) -> None:
        nonlocal copied
        try:
            answer = trio.run(ask, directory / SOCKET_NAME, AskCopy(str(temporary)))
        except NobodyAnswersError:
            copy_at_rest(directory, temporary)
        else:
            assert isinstance(answer, Copied)
            copied = answer
            if not temporary.exists():
                raise FailureError(
                    f"the server has written {temporary}, which is not to be seen here; give a"
                    " place that both can reach"
                )

    try:
        contents = back_up(copy, path)
    except InUseError as error:
        raise FailureError(
            f"a server uses {directory}, but nobody answers at {directory / SOCKET_NAME}; what"
            " the server said at its start tells why"
        ) from error
    lines = [f"Saved {_told(contents)} to {path}, {_mebibytes(contents.bytes)}."]
    if copied is not None:
        longest = _milliseconds(copied.commit_seconds_max)
        lines.append(f"The server went on; its longest commit meanwhile took {longest}.")
    return "\n".join([*lines, f"SHA-256: {contents.sha256}"])


def bring_back(directory: Path, path: Path, sha256: str | None) -> str:
    """Restore a backup; return what to tell about that.

    Raises:
        FailureError: if that did not work; nothing has changed then.
    """
    try:
        done = restore(directory, path, sha256)
    except InUseError as error:
        raise FailureError(
            f"a server runs on {directory}; stop it first, then restore: {path} was not touched"
        ) from error
    lines = [
        f"Restored {_told(done.contents)} from {path} to {directory}.",
        f"SHA-256: {done.contents.sha256}",
    ]
    if done.kept is not None:
        lines.append(f"The database from before is {done.kept}; remove it when it is not needed.")
    return "\n".join(lines)


def tell_status(directory: Path, *, as_json: bool) -> str:
    """How the server on this data directory does, in lines for people or one for programs.

    Raises:
        FailureError: if none answers.
    """
    status = ask_server(directory, AskStatus(), Status)
    if as_json:
        return msgspec.json.encode(status).decode()
    return "\n".join(f"{name:<12} {text}" for name, text in _rows(status))


def _rows(status: Status) -> list[tuple[str, str]]:
    last, p99 = _milliseconds(status.commit_last), _milliseconds(status.commit_p99)
    store = f"FAILING: {status.store_failure}" if status.store_failure else "works"
    if status.commit_under_way:
        store += f"; a commit is under way for {_milliseconds(status.commit_under_way)}"
    return [
        ("version", status.version),
        ("uptime", _duration(status.uptime)),
        (
            "online",
            f"{count(status.users_online, 'user')}, {count(status.connections, 'connection')}",
        ),
        ("logins", f"OFF: {status.logins_off}" if status.logins_off else "on"),
        (
            "waiting",
            f"{count(status.messages_waiting, 'message')} in"
            f" {count(status.mailboxes_waiting, 'mailbox', 'mailboxes')}",
        ),
        ("store", store),
        ("commits", f"{last} the last, {p99} p99 of the last {status.commits:,}"),
        (
            "event loop",
            f"late by {_milliseconds(status.loop_lag_p99)} p99,"
            f" {_milliseconds(status.loop_lag_max)} at most in the last minute",
        ),
        ("memory", _mebibytes(status.memory_bytes)),
        ("open files", "unknown" if status.open_files is None else f"{status.open_files:,}"),
    ]


def _told(contents: Contents) -> str:
    return (
        f"{count(contents.messages, 'message')}, {count(contents.blocks, 'block')} and"
        f" {count(contents.files, 'registered file')}"
    )


def _mebibytes(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{count(days, 'day')} {hours:02}:{minutes:02}:{left:02}"
