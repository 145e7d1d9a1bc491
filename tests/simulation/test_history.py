from __future__ import annotations

import random

import pytest

from .delivery import Broken
from .history import History, Session
from .network import End, Network, Path
from .timeline import Timeline


class Past:
    """A `History` with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.history = History(lambda: self.now)
        self._network = Network(random.Random(1), Timeline())

    def session(self, user: str, asked: float, began: float, proved: float) -> Session:
        self.now = asked
        end = End(self._network, user, "server", Path(0))
        end.other = End(self._network, "server", user, Path(0))
        session = self.history.login(user, 1, end, is_active=True)
        session.began_at, session.proved_at = began, proved
        return session


@pytest.fixture
def past() -> Past:
    """Hans was surely online from 2 to 5, and perhaps from 1 to 8; luke asks from 10 on."""
    past = Past()
    past.session("hans", asked=1, began=2, proved=5).ended_at = 8
    past.session("luke", asked=10, began=10, proved=100)
    return past


@pytest.mark.parametrize(
    ("seconds", "names", "is_right"),
    [
        (20, ["hans"], True),
        (20, [], False),
        (14, [], True),  # he may have left in time
        (14, ["hans"], True),
        (10, ["hans"], False),
        (10, [], True),
        (20, ["hans", "hans"], False),
        (20, ["hans", "yoda"], False),
    ],
)
def test_an_answer_must_tell_what_is_certain_and_only_what_is_possible(
    past: Past, seconds: float, names: list[str], is_right: bool
) -> None:
    asker = past.history.sessions[1]
    past.now = 20
    if is_right:
        past.history.check_since(asker, 19, seconds, names)
    else:
        with pytest.raises(Broken, match="whoelsesince"):
            past.history.check_since(asker, 19, seconds, names)


def test_a_server_remembers_nothing_of_the_one_before(past: Past) -> None:
    asker = past.history.sessions[1]
    asker.server = 2
    past.now = 20
    past.history.check_since(asker, 19, 20, [])


def test_a_login_that_was_refused_is_none(past: Past) -> None:
    past.history.refused(past.history.sessions[0])
    past.now = 20
    past.history.check_since(past.history.sessions[0], 19, 20, [])


def test_a_ghost_is_a_session_whose_end_the_server_has_not_noticed(past: Past) -> None:
    again = past.session("hans", asked=12, began=13, proved=13)
    assert not past.history.has_ghost(again)
    past.history.sessions[0].ended_at = None
    assert past.history.has_ghost(again)
