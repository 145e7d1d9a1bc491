"""The post office by itself: when is a sender answered, and what is written?

How it works together with the broker is told in test_mailboxes, test_journal, test_repetitions.
"""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.core.effects import Send
from trio_chat.core.journal import Journal
from trio_chat.core.outgoing import Outgoing
from trio_chat.core.post_office import PostOffice
from trio_chat.core.sessions import Session, Sessions
from trio_chat.protocol.messages import Delivery, Message, Ok


class Office:
    """A post office where time stands still at 0."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.journal = Journal()
        self.outgoing = Outgoing(self.sessions.by_id)
        self.post = PostOffice({}, 0, self.sessions, self.journal, self.outgoing)
        self.effects = self.outgoing.begin()

    def log_in(self, id: int, user: str) -> Session:
        session = self.sessions.open(id, f"pc-{user}", 0)
        session.user, session.last_id = user, 1
        self.post.enter(session)
        assert self.effects == [Send(id, [Ok(1)])]
        self.effects = self.outgoing.begin()
        return session

    def write(self, session: Session, id: int, to: str) -> Delivery:
        assert self.post.accept(session, Message(id, to, "hello"), 5, now=0)
        return Delivery(self.post.last_seq, session.user, session.client, id, "hello")


@pytest.fixture
def office() -> Office:
    return Office()


def test_who_is_online_gets_a_message_at_once_and_its_sender_the_answer_when_it_arrived(
    office: Office,
) -> None:
    hans, luke = office.log_in(1, "hans"), office.log_in(2, "luke")
    delivery = office.write(hans, 2, "luke")
    assert office.effects == [Send(luke.id, [delivery])]
    office.effects = office.outgoing.begin()
    office.post.acknowledge(luke, delivery.seq, now=0)
    assert office.effects == [Send(hans.id, [Ok(2)])]
    assert office.journal.begin(limits.COMMIT_DELAY_SECONDS) is None, "nothing is left to write"


def test_a_message_for_somebody_offline_is_written_at_once_and_answered_when_that_is_done(
    office: Office,
) -> None:
    hans = office.log_in(1, "hans")
    delivery = office.write(hans, 2, "luke")
    commit = office.journal.begin(0)
    assert commit is not None
    assert commit.messages == (("luke", delivery),)
    assert office.effects == []
    office.post.committed(office.journal.end(commit.number))
    assert office.effects == [Send(hans.id, [Ok(2)])]
    assert not office.post.mailboxes["luke"].letters, "what is on disk is left there"


def test_a_full_mailbox_takes_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 1)
    hans = office.log_in(1, "hans")
    office.write(hans, 2, "luke")
    assert not office.post.accept(hans, Message(3, "luke", "hello"), 5, now=0)
    assert office.post.last_seq == 1
