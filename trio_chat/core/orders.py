"""What an operator may have a running server do, and what comes of it.

These are data: the operator's commands send them to the server as they are.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Kick(Struct, frozen=True, tag="kick"):
    """End a user's session, and make its token void; the text, if any, says why."""

    user: str
    text: str = ""


class Announce(Struct, frozen=True, tag="announce"):
    """Tell everybody who is online something.

    Attributes:
        text: what.
        key: random, so that each client shows it once, whatever was announced before.
    """

    text: str
    key: str = ""


class SetLogins(Struct, frozen=True, tag="set_logins"):
    """Let people log in, or let nobody in for a while; whoever is online stays.

    Attributes:
        on: whether they may.
        text: what those are told who may not; empty for the usual sentence.
    """

    on: bool
    text: str = ""


class RemoveFiles(Struct, frozen=True, tag="remove_files"):
    """Remove one name from the catalogue, or all names of a user; the other one is empty."""

    name: str = ""
    owner: str = ""


class ForgetUser(Struct, frozen=True, tag="forget_user"):
    """Delete what is kept of a user who has no account any more.

    That is their mail, their blocks and those of them, and their names in the catalogue, of which
    one that others hold goes to the first of those.

    Attributes:
        user: the name.
        keep: only count.
    """

    user: str
    keep: bool = False


Order = Kick | Announce | SetLogins | RemoveFiles | ForgetUser

Problem = Literal["", "not_online", "no_file", "has_account", "busy", "not_stored"]


class Outcome(Struct, frozen=True, tag="outcome", omit_defaults=True):
    """What came of an order.

    Attributes:
        problem: why it was not done; empty if it was.
        users: how many were told, or let go.
        messages, blocks, files: how many were deleted, or are kept.
    """

    problem: Problem = ""
    users: int = 0
    messages: int = 0
    blocks: int = 0
    files: int = 0
