"""How the server does: what it measures of itself, and what it tells its operator of that.

All of it is outside the way of a message: a commit is timed as a whole, the event loop is asked
a few times a second whether it is late, and the rest is counted when somebody asks.
"""

from __future__ import annotations

import math
import resource
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import trio
from msgspec import Struct

from .. import __version__, limits
from ..core.statistics import Statistics
from .log import Log, note

_DESCRIPTORS = Path("/proc/self/fd")
_MEMORY = Path("/proc/self/statm")


class Status(Struct, frozen=True, tag="status"):
    """How the server does; times in seconds.

    Attributes:
        version: of the program.
        uptime: since its start.
        users_online: logged in.
        connections: those too that have not logged in.
        mailboxes_waiting: how many have messages in them.
        messages_waiting: in all of these; not acknowledged by their receivers.
        store_failure: why the latest commit failed; empty if it did not.
        commits: how many are measured, the latest ones.
        commit_last: how long the latest took.
        commit_p99: what 99 of 100 of these did not exceed.
        commit_under_way: for how long one has been going on; 0 if none is.
        loop_lag_p99: how late the event loop was, in 99 of 100 samples of the last minute.
        loop_lag_max: at most.
        memory_bytes: resident; the most that it ever was where the system tells no more.
        open_files: sockets too; none where the system does not tell.
        logins_off: while nobody may log in, what those are told who try; else empty.
    """

    version: str
    uptime: float
    users_online: int
    connections: int
    mailboxes_waiting: int
    messages_waiting: int
    store_failure: str
    commits: int
    commit_last: float
    commit_p99: float
    commit_under_way: float
    loop_lag_p99: float
    loop_lag_max: float
    memory_bytes: int
    open_files: int | None
    logins_off: str = ""


class Room:
    """Room for connections. It tells the operator when there is none, once for each time.

    Args:
        connections_max: how many there may be.
        alarm: takes what the operator must know.
    """

    def __init__(self, connections_max: int, alarm: Log) -> None:
        self.connections_max = connections_max
        self._alarm = alarm
        self._full_at = -math.inf

    def full(self) -> None:
        """Somebody has come for whom there is none."""
        now = trio.current_time()
        before, self._full_at = self._full_at, now
        if now - before < limits.NO_ROOM_ALARM_SECONDS:
            return
        text = f"there are {self.connections_max:,} connections, and others wait for room"
        if self.connections_max < limits.CONNECTIONS_MAX:
            text += "; the system allows too few open files, which 'ulimit -n' changes"
        self._alarm(note("no_room", text, connections=self.connections_max))


class StoreHealth:
    """How the store does. It tells the operator when it begins to fail, and when it works again.

    Attributes:
        failure: why the latest commit failed; empty if it did not.
        seconds: how long the latest commits took.
        count: how many there were since the start.

    Args:
        alarm: takes what the operator must know.
    """

    def __init__(self, alarm: Log) -> None:
        self.failure = ""
        self.seconds: deque[float] = deque(maxlen=limits.COMMITS_MEASURED_MAX)
        self.count = 0
        self._alarm = alarm
        self._begun: float | None = None
        self._unreadable: set[str] = set()

    def commit_begins(self, now: float) -> None:
        """A commit is under way from now on."""
        self._begun = now

    def commit_ends(self, now: float, failure: str = "") -> None:
        """It has succeeded, or failed for this reason."""
        assert self._begun is not None
        self.seconds.append(now - self._begun)
        self._begun = None
        self.count += 1
        before, self.failure = self.failure, failure
        if failure and not before:
            text = f"the store fails, and what it can't keep is refused: {failure}"
            self._alarm(note("store_failing", text, reason=failure))
        elif before and not failure:
            self._alarm(note("store_working", "the store works again"))

    def loaded(self, user: str, failure: str = "") -> None:
        """A mailbox was read, or could not be for this reason."""
        if failure and user not in self._unreadable:
            self._unreadable.add(user)
            text = f"the mailbox of {user!r} can't be read, so {user!r} can't log in: {failure}"
            self._alarm(note("mailbox_unreadable", text, user=user, reason=failure))
        elif not failure and user in self._unreadable:
            self._unreadable.remove(user)
            text = f"the mailbox of {user!r} can be read again"
            self._alarm(note("mailbox_readable", text, user=user))

    def slowest_since(self, count: int) -> float:
        """The longest time of a commit, of those after this many and still remembered."""
        recent = min(self.count - count, len(self.seconds))
        return max([self.seconds[-index] for index in range(1, recent + 1)], default=0.0)

    def under_way(self, now: float) -> float:
        """For how long a commit has been going on."""
        return 0.0 if self._begun is None else now - self._begun


class Health:
    """What is measured while the server runs.

    Attributes:
        store: how the store does.

    Args:
        alarm: takes what the operator must know.
    """

    def __init__(self, alarm: Log) -> None:
        self.store = StoreHealth(alarm)
        self._lags: deque[float] = deque(maxlen=limits.LAG_SAMPLES_MAX)
        self._started = trio.current_time()

    async def measure_lag(self) -> None:
        """Ask the event loop again and again, until cancelled, how late it is."""
        while True:
            due = trio.current_time() + limits.LAG_SAMPLE_SECONDS
            await trio.sleep_until(due)
            self._lags.append(trio.current_time() - due)

    def status(self, statistics: Statistics, connections: int) -> Status:
        """All of it, just now."""
        now = trio.current_time()
        commits = self.store.seconds
        return Status(
            version=__version__,
            uptime=now - self._started,
            users_online=statistics.users_online,
            connections=connections,
            mailboxes_waiting=statistics.mailboxes_waiting,
            messages_waiting=statistics.messages_waiting,
            store_failure=self.store.failure,
            commits=len(commits),
            commit_last=commits[-1] if commits else 0.0,
            commit_p99=_p99(commits),
            commit_under_way=self.store.under_way(now),
            loop_lag_p99=_p99(self._lags),
            loop_lag_max=max(self._lags, default=0.0),
            memory_bytes=_memory_bytes(),
            open_files=_open_files(),
            logins_off=statistics.logins_off,
        )


def _p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) * 99 // 100] if ordered else 0.0


def _memory_bytes() -> int:
    try:
        return int(_MEMORY.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _open_files() -> int | None:
    try:
        return sum(1 for _ in _DESCRIPTORS.iterdir())
    except OSError:
        return None
