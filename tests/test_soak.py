"""The judge of the soak: what it calls lost, doubled and overtaken, and what it excuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks.soak import Log, Observer
from benchmarks.soak_worker import Record

Write = Callable[..., Log]


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def write(tmp_path: Path, observer: Observer) -> Write:
    """Writes the log of one process; the last line may be cut off."""

    def write(*records: Record, killed: bool = False, cut: bytes = b"") -> Log:
        log = Log(tmp_path / f"log-{len(list(tmp_path.iterdir()))}")
        log.path.write_bytes(msgspec.json.Encoder().encode_lines(records) + cut)
        log.was_killed = killed
        observer.watch(log)
        return log

    return write


def text(number: int, life: str = "1.1") -> str:
    return f"m:hans:{life}:{number}"


def sent(number: int, *, acknowledged: bool = True, life: str = "1.1") -> list[Record]:
    typed = Record("hans", typed=f"message yoda {text(number, life)}")
    return [typed, *([Record("hans", acknowledged=[text(number, life)])] if acknowledged else [])]


def shown(*numbers: int, life: str = "1.1") -> Record:
    return Record("yoda", shown=["luke logged in", *(f"hans: {text(n, life)}" for n in numbers)])


def test_what_was_acknowledged_and_is_on_no_screen_is_lost(
    observer: Observer, write: Write
) -> None:
    write(*sent(1), *sent(2), *sent(3, acknowledged=False))
    write(shown(1))
    observer.look()
    assert observer.lost == [text(2)]
    assert (observer.typed, len(observer.acknowledged), observer.received) == (3, 2, 1)
    write(shown(2))
    observer.look()
    assert observer.lost == []


def test_what_is_on_the_screen_of_somebody_else_is_lost_too(
    observer: Observer, write: Write
) -> None:
    write(*sent(1), Record("luke", shown=[f"hans: {text(1)}"]))
    observer.look()
    assert observer.lost == [text(1)]


def test_what_is_shown_again_is_doubled(observer: Observer, write: Write) -> None:
    write(*sent(1), shown(1), shown(1))
    observer.look()
    assert observer.doubled() == ([f"{text(1)} to yoda"], 0)


@pytest.mark.parametrize(
    ("killed", "later", "excused"), [(True, False, 1), (False, False, 0), (True, True, 0)]
)
def test_a_kill_excuses_only_what_it_may_have_kept_from_being_remembered(
    observer: Observer, write: Write, killed: bool, later: bool, excused: int
) -> None:
    write(
        *sent(1), shown(1), *([Record("vader", shown=["nothing"])] if later else []), killed=killed
    )
    write(shown(1))
    observer.look()
    doubled, excuses = observer.doubled()
    assert (len(doubled), excuses) == (1 - excused, excused)


def test_nothing_is_excused_twice(observer: Observer, write: Write) -> None:
    write(*sent(1), shown(1), killed=True)
    write(shown(1), killed=True)
    write(shown(1))
    observer.look()
    assert observer.doubled() == ([f"{text(1)} to yoda"], 0)


def test_what_a_kill_has_cut_off_was_not_shown(observer: Observer, write: Write) -> None:
    write(*sent(1), killed=True, cut=msgspec.json.encode(shown(1))[:-3])
    observer.look()
    assert observer.lost == [text(1)]
    write(shown(1))
    observer.look()
    assert observer.lost == []
    assert observer.doubled() == ([], 0)


def test_messages_of_one_sender_are_in_order_over_all_lives(
    observer: Observer, write: Write
) -> None:
    write(*sent(1), *sent(2), *sent(1, life="2.1"))
    write(shown(1, 2), shown(1, life="2.1"))
    observer.look()
    assert observer.overtaken == 0
    write(*sent(3), *sent(4), shown(4, 3))
    observer.look()
    assert observer.overtaken == 2, "behind the next life, both of them"
