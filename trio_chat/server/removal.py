"""What is kept of a user whose account was removed, in the data of the servers concerned.

A credentials file may be changed by mistake, so its change alone deletes nothing: only `passwd`
does, which was told so. A server notes in its data directory which credentials file it uses. By
that `passwd` finds the data, and asks the server if one runs on them, or opens them itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from .. import limits
from ..core.effects import Commit
from ..core.orders import ForgetUser, Outcome
from ..errors import FailureError
from ..storage.backup import DATABASE_NAME
from ..storage.sqlite import open_sqlite
from .admin import NobodyAnswersError
from .operator import NOT_STORED, ask_server, count

NOTE_NAME = "credentials.path"
"""The file in a data directory that says which credentials file its server uses."""

_RETRY_SECONDS = 0.1


def note_credentials(directory: Path, credentials: Path) -> None:
    """Note in a data directory which credentials file its server uses.

    Only `passwd` needs that. If it can't be written, `passwd` is told where the data lie.
    """
    with suppress(OSError):
        note = os.open(directory / NOTE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(note, "wb") as stream:
            stream.write(os.fsencode(credentials.resolve()))


def directories_of(credentials: Path, parent: Path) -> list[Path]:
    """The data directories below this one whose servers use a credentials file."""
    wanted, found = os.fsencode(credentials.resolve()), []
    for note in sorted(parent.glob(f"*/{NOTE_NAME}")):
        with suppress(OSError):
            if note.read_bytes() == wanted:
                found.append(note.parent)
    return found


def forget(directories: Sequence[Path], user: str, *, keep: bool) -> str:
    """Delete what is kept of a user who has no account any more, or count it.

    Returns:
        What to tell about that.

    Raises:
        FailureError: if something of it could not be deleted; the rest was.
    """
    lines: list[str] = []
    failures: list[str] = []
    for directory in directories:
        try:
            outcome = _forget(directory, user, keep=keep)
        except FailureError as error:
            failures.append(f"{directory}: {error}")
            continue
        found = _described(outcome)
        if keep:
            lines.append(f"In {directory} {found} of {user} are kept.")
        else:
            lines.append(f"Deleted {found} of {user} in {directory}.")
    if not directories:
        lines.append(
            "No data of a server were found that uses this file. What a server has kept of"
            f" {user} stays there; 'passwd --remove' with its --data-dir deletes it."
        )
    if failures:
        lines.append(f"What is kept of {user} was not deleted in {failures[0]}")
        raise FailureError(" ".join(lines))
    return "\n".join(lines)


def tell_waiting(directories: Sequence[Path], user: str) -> str:
    """What to tell of mail that waits for a new user from an earlier account; empty for none."""
    messages = 0
    for directory in directories:
        with suppress(FailureError):  # it is only a hint
            messages += _forget(directory, user, keep=True).messages
    if not messages:
        return ""
    return (
        f"\n{count(messages, 'message')} to an earlier account of this name will be shown to"
        f" {user} at the next login; 'passwd --remove {user}' deletes them, with the account."
    )


def _described(outcome: Outcome) -> str:
    return (
        f"{count(outcome.messages, 'waiting message')}, {count(outcome.blocks, 'block')} and"
        f" {count(outcome.files, 'registered file')}"
    )


def _forget(directory: Path, user: str, *, keep: bool) -> Outcome:
    give_up = time.monotonic() + limits.FORGET_SECONDS_MAX
    while True:
        try:
            outcome = ask_server(directory, ForgetUser(user, keep), Outcome)
        except NobodyAnswersError:
            return trio.run(_forget_at_rest, directory, user, keep)
        if not outcome.problem:
            return outcome
        if outcome.problem == "not_stored":
            raise FailureError(NOT_STORED)
        if time.monotonic() > give_up:
            raise FailureError(
                f"the server still has an account {user}; does it use another credentials file?"
                if outcome.problem == "has_account"
                else "the server is busy; try again"
            )
        time.sleep(_RETRY_SECONDS)  # it reads the file a moment later


async def _forget_at_rest(directory: Path, user: str, keep: bool) -> Outcome:
    path = directory / DATABASE_NAME
    if not path.exists():
        raise FailureError("there is no data of a server")
    store = await open_sqlite(path)
    try:
        restored = await store.restore()
        pairs = [pair for pair in restored.blocks if user in pair]
        names = [file.name for owner, file in restored.files if owner == user]
        if not keep:
            await store.commit(
                Commit(
                    1,
                    messages=(),
                    acknowledged=((user, restored.last_seq),),
                    blocks=tuple((blocker, blocked, False) for blocker, blocked in pairs),
                    dropped=tuple(names),
                )
            )
    finally:
        await store.close()
    messages = sum(number for number, _ in restored.waiting.get(user, {}).values())
    return Outcome(messages=messages, blocks=len(pairs), files=len(names))
