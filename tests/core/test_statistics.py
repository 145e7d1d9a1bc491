"""What the broker tells of its state."""

from __future__ import annotations

from trio_chat.core.statistics import Statistics

from .playbook import Playbook


def test_who_is_online_and_what_waits_is_counted() -> None:
    book = Playbook("hans", "yoda")
    assert book.broker.statistics == Statistics(2, 0, 0)
    book.play("""
        hans: message 2 yoda "Hey Dude"
            yoda < delivery 1 hans pc-hans 2 "Hey Dude"
        """)
    assert book.broker.statistics == Statistics(2, 1, 1), "not acknowledged yet"
    book.play("""
        yoda: ack 1
            hans < ok 2
        """)
    assert book.broker.statistics == Statistics(2, 0, 0)
