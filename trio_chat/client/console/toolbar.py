"""The line below the prompt.

Rule: pure. It never takes more than one line: what matters least gives way first.
"""

from __future__ import annotations

from collections.abc import Iterator

import wcwidth

from ...text import clean_line
from ..notice import Kind, Notice
from ..status import Status

_BETWEEN = " | "

_HELP = "'help' lists the commands"


def toolbar(status: Status, columns: int) -> str:
    """What to show of a status; empty if there is nothing."""
    text = ""
    for text in _ways(status):
        if wcwidth.wcswidth(text) <= columns:
            return text
    return wcwidth.clip(text, 0, columns, control_codes="ignore")


def _ways(status: Status) -> Iterator[str]:
    """The same in less and less words."""
    who = [clean_line(status.user), status.line.value]
    online = [] if status.online is None else [_count(len(status.online))]
    names = [clean_line(user) for user in status.private]
    private = [f"private: {', '.join(names)}"] if names else []
    lines = [line for notice in status.transfers for line in notice.lines]
    short = [_short(notice) for notice in status.transfers]
    if online and not private and not lines:
        yield _join(*who, *online, _HELP)
    yield _join(*who, *online, *private, *lines)
    yield _join(*who, *online, *private, *short)
    few = [f"{len(names)} private"] if names else []
    yield _join(*who, *online, *few, *short)
    yield _join(*who, *online, *few, *_summary(status.transfers))
    yield _join(who[0], *online, *few, *_summary(status.transfers))


def _count(others: int) -> str:
    return f"{others} online" if others else "nobody else online"


def _join(*parts: str) -> str:
    return _BETWEEN.join(part for part in parts if part)


def _short(notice: Notice) -> str:
    if notice.kind is not Kind.PROGRESS:
        return notice.lines[0]
    return f"{notice.fields['name']} {_share([notice]):.0%}"


def _summary(notices: tuple[Notice, ...]) -> list[str]:
    if not notices:
        return []
    return [f"{len(notices)} file{'' if len(notices) == 1 else 's'} {_share(notices):.0%}"]


def _share(notices: list[Notice] | tuple[Notice, ...]) -> float:
    """How much of all downloads is here."""
    running = [notice.fields for notice in notices if notice.kind is Kind.PROGRESS]
    done, size = (sum(int(str(fields[key])) for fields in running) for key in ("done", "size"))
    return done / size if size else 0.0
