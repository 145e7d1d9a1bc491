"""What the broker tells of its state, to be counted by an operator."""

from __future__ import annotations

from msgspec import Struct


class Statistics(Struct, frozen=True, gc=False):
    """How much there is of what.

    Attributes:
        users_online: logged in.
        mailboxes_waiting: how many have messages in them that were not acknowledged.
        messages_waiting: in all of these, in memory or on disk.
        logins_off: what those are told who want to log in and may not; empty if they may.
    """

    users_online: int
    mailboxes_waiting: int
    messages_waiting: int
    logins_off: str = ""
