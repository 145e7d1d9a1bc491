"""What a broker begins with: the operator's decisions, and what earlier runs have left."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from .. import limits
from ..protocol.messages import File


class Settings(Struct, frozen=True):
    """What the operator decides.

    Attributes:
        block_seconds: how long three wrong passwords block a user name.
        idle_seconds: after how long without any request a user is logged out.
        logins_per_minute: how many may come from each address; 0 for any number.
        keep_files_seconds: for how long the name of a file is kept that nobody holds.
    """

    block_seconds: float
    idle_seconds: float
    logins_per_minute: int = limits.LOGINS_PER_MINUTE_MAX
    keep_files_seconds: float = limits.FILE_KEPT_SECONDS


class Restored(Struct, frozen=True):
    """What the store holds from earlier runs.

    Attributes:
        last_seq: the highest sequence number of a message that waits.
        blocks: pairs of blocker and blocked.
        files: those that are registered, each with its owner.
        idle_seconds: by name of a file for how long nobody has held it; 0 if it is missing.
        waiting: for each user, and each sender to them, the number of messages waiting and their
            bytes of text.
    """

    last_seq: int = 0
    blocks: Collection[tuple[str, str]] = ()
    files: Collection[tuple[str, File]] = ()
    idle_seconds: Mapping[str, float] = {}
    waiting: Mapping[str, Mapping[str, tuple[int, int]]] = {}
