"""Blocking and unblocking (section 3.1, blacklisting; 3.3, block and unblock)."""

from trio_chat.core.blocks import Blocks

from .playbook import Playbook


def test_a_block_is_confirmed_once_it_is_on_disk_and_nobody_is_informed() -> None:
    Playbook("hans", "luke").play("""
        luke: block 2 hans
            commit 1: luke!hans
        committed
            luke < ok 2
        luke: unblock 3 hans
            commit 2: luke=hans
        committed
            luke < ok 3
        """)


def test_impossible_blocks_are_refused() -> None:
    Playbook("hans").play("""
        hans: block 2 hans
            hans < error block_self "Error. Cannot block self" 2
        hans: unblock 3 hans
            hans < error unblock_self "Error. Cannot unblock self" 3
        hans: block 4 bob
            hans < error unknown_user "Error. Invalid user" 4
        hans: unblock 5 bob
            hans < error unknown_user "Error. Invalid user" 5
        hans: unblock 6 yoda
            hans < error not_blocked "Error. yoda was not blocked" 6
        hans: block 7 yoda
            commit 1: hans!yoda
        hans: block 8 yoda
            hans < error already_blocked "Error. yoda is already blocked" 8
        """)


def test_a_message_to_somebody_who_blocked_its_sender_is_refused_and_not_kept() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        hans: message 2 luke "You angry?"
            hans < error blocked_by_recipient "Your message could not be delivered as the recipient has blocked you" 2
        committed
            luke < ok 2
        luke: unblock 3 hans
            commit 2: luke=hans
        hans: message 3 luke stormtroopers
            luke < delivery 1 hans pc-hans 3 stormtroopers
        """)


def test_a_broadcast_leaves_out_those_who_blocked_its_sender_and_says_so() -> None:
    book = Playbook("hans", "yoda", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        hans: broadcast 2 "I rock"
            yoda < announcement hans pc-hans 2 "I rock"
            hans < sent 2 false
        luke: broadcast 3 hello
            hans yoda < announcement luke pc-luke 3 hello
            luke < sent 3 true
        close luke
            ...
        hans: broadcast 3 "vader sucks"
            yoda < announcement hans pc-hans 3 "vader sucks"
            hans < sent 3 true
        """)


def test_a_broadcast_that_reaches_nobody_but_blockers_is_incomplete() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        hans: broadcast 2 "I rock"
            hans < sent 2 false
        """)


def test_who_blocked_somebody_may_still_write_to_them() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        luke: message 3 hans "You hear me"
            hans < delivery 1 luke pc-luke 3 "You hear me"
        """)


def test_offline_users_can_be_blocked_and_blocks_last_over_logout_and_restart() -> None:
    book = Playbook("luke")
    book.play("""
        luke: block 2 hans
            commit 1: luke!hans
        luke: logout 3
            luke < ok 3
            close luke
        committed
        """)
    refusal = """
        log in hans
            ...
        hans: message 2 luke "You angry?"
            hans < error blocked_by_recipient "Your message could not be delivered as the recipient has blocked you" 2
        """
    book.play(refusal)
    book.restart()
    book.play(refusal)


def test_what_was_accepted_before_the_block_is_still_delivered() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke first")
    book.do("committed")
    book.do("log in luke")
    book.do("luke: block 2 hans")
    book.play("""
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 first
        """)


def test_a_block_that_could_not_be_stored_is_undone() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        commit failed
            luke < error not_stored "Error. The server could not store this, so it may not last. Please try again later" 2
        hans: message 2 luke peace
            luke < delivery 1 hans pc-hans 2 peace
        luke: block 3 hans
            commit 2: luke!hans
        committed
            luke < ok 3
        """)


def test_an_unblock_that_could_not_be_stored_is_undone() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.do("committed")
    book.do("luke: unblock 3 hans")
    book.play("""
        commit failed
            luke < error not_stored ...
        hans: message 2 luke "You angry?"
            hans < error blocked_by_recipient ...
        """)


def test_changes_that_rest_on_one_that_failed_fail_with_it() -> None:
    """Else memory and disk could end up with different blocks."""
    book = Playbook("hans", "luke")
    book.play("""
        luke: block 2 hans
            commit 1: luke!hans
        luke: unblock 3 hans
        luke: block 4 hans
        commit failed
            luke < error not_stored ...
            luke < error not_stored ...
            luke < error not_stored ...
        luke: unblock 5 hans
            luke < error not_blocked ...
        hans: message 2 luke peace
            luke < delivery 1 hans pc-hans 2 peace
        luke: block 6 hans
            commit 2: luke!hans
        luke: unblock 7 hans
        commit failed
            luke < error not_stored ...
            luke < error not_stored ...
        luke: unblock 8 hans
            luke < error not_blocked ...
        """)


def test_both_directions_are_known_apart() -> None:
    blocks = Blocks([("a", "b"), ("c", "b"), ("a", "c")])
    assert blocks.blocked_by("a") == {"b", "c"}
    assert blocks.blockers_of("b") == {"a", "c"}
    assert blocks.blocked_by("b") == blocks.blockers_of("a") == frozenset()
    assert list(blocks) == [("a", "b"), ("a", "c"), ("c", "b")]


def test_taking_back_what_never_was_changes_nothing() -> None:
    blocks = Blocks([("a", "b")])
    blocks.set("b", "a", False)
    assert list(blocks) == [("a", "b")]
    blocks.set("a", "c", True)
    blocks.set("a", "b", False)
    assert list(blocks) == [("a", "c")]
    blocks.set("a", "c", False)
    assert list(blocks) == []
