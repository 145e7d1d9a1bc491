"""What holds of a broker after every command, whatever came before."""

from __future__ import annotations

from trio_chat import limits
from trio_chat.core.broker import Broker
from trio_chat.core.commands import NOBODY
from trio_chat.core.journal import NEVER
from trio_chat.core.mailboxes import Mailbox
from trio_chat.core.sessions import Phase
from trio_chat.core.shares import counted_by_sender, text_bytes


def check_invariants(broker: Broker) -> None:
    """Fail unless all parts of the state agree with each other and keep their bounds."""
    _check_sessions(broker)
    _check_blocks(broker)
    _check_lockouts(broker)
    _check_tokens(broker)
    _check_journal(broker)
    _check_catalogue(broker)
    for user, mailbox in broker._post.mailboxes.items():
        assert mailbox.user == user
        _check_mailbox(broker, mailbox)
        _check_safety(broker, mailbox)


def _check_sessions(broker: Broker) -> None:
    online = {s.user: s.id for s in broker._sessions.by_id.values() if s.phase is Phase.ONLINE}
    assert broker._presence.online == online
    assert not online.keys() & broker._presence._logouts.keys()
    times = list(broker._presence._logouts.values())
    assert times == sorted(times)
    earliest: dict[int, float] = {}
    for deadline, id in broker._sessions._deadlines:
        earliest[id] = min(deadline, earliest.get(id, NEVER))
    for session in broker._sessions.by_id.values():
        assert session.user == (session.user if session.phase is Phase.ONLINE else "")
        assert earliest[session.id] <= session.deadline
        assert broker.next_deadline() <= session.deadline


def _check_blocks(broker: Broker) -> None:
    pairs = list(broker._blocks)
    blocks = broker._blocks
    assert all(blocks._by_blocker.values()) and all(blocks.by_blocked.values())
    assert set(pairs) == {
        (blocker, blocked)
        for blocked, blockers in blocks.by_blocked.items()
        for blocker in blockers
    }
    assert all(blocker != blocked for blocker, blocked in pairs)


def _check_lockouts(broker: Broker) -> None:
    lockouts = broker._gatekeeper._lockouts
    counts, blocked, unknown = lockouts._counts, lockouts._blocked, lockouts._unknown_blocked
    assert blocked.keys() <= set(broker.users)
    assert not unknown.keys() & set(broker.users)
    assert not counts.keys() & (blocked.keys() | unknown.keys())
    assert len(counts) <= limits.FAILED_NAMES_MAX and len(unknown) <= limits.FAILED_NAMES_MAX
    assert all(0 < count < limits.LOGIN_FAILURES_MAX for count in counts.values())


def _check_tokens(broker: Broker) -> None:
    for user, token in broker._gatekeeper._tokens._by_user.items():
        assert user in broker.users and token.text
        is_online = broker._presence.online.get(user) == token.session
        assert is_online == (token.lost_at is None)
        if is_online:
            session = broker._sessions.by_id[token.session]
            assert (session.client, session.token) == (token.client, token.text)


def _check_catalogue(broker: Broker) -> None:
    catalogue = broker._catalogue
    entries = catalogue._entries
    assert all(entry.file.name == name for name, entry in entries.items())
    owners = [entry.owner for entry in entries.values()]
    assert catalogue._counts == {user: owners.count(user) for user in owners}
    held = {(session, name) for name, entry in entries.items() for session in entry.holders}
    assert held == {(s, name) for s, names in catalogue._held.items() for name in names}
    assert {session for session, _ in held} <= set(broker._presence.online.values())
    assert catalogue._visits.keys() == entries.keys()
    times = list(catalogue._visits.values())
    assert times == sorted(times)
    changes = [*broker._journal._gathering.files]
    if broker._journal.under_way is not None:
        changes += broker._journal.under_way.files
    for entry in entries.values():
        assert entry.unsafe == sum(change.after is entry for change in changes)


def _check_journal(broker: Broker) -> None:
    journal = broker._journal
    mailboxes = broker._post.mailboxes.values()
    assert journal.unwritten == sum(len(mailbox.unwritten()) for mailbox in mailboxes)
    if journal._gathering.acknowledged or journal._gathering.blocks:
        assert journal.due < NEVER
    if journal.under_way is None:
        assert broker.next_deadline() <= journal.due
    else:
        kept = {
            id(letter) for mailbox in broker._post.mailboxes.values() for letter in mailbox.letters
        }
        letters = journal.under_way.letters
        assert all(letter.written for letter in letters)
        assert all(letter.safe or id(letter) in kept for letter in letters), "nobody keeps it"


def _check_mailbox(broker: Broker, mailbox: Mailbox) -> None:
    letters = list(mailbox.letters)
    seqs = [letter.delivery.seq for letter in letters]
    assert seqs == sorted(set(seqs))
    assert not seqs or mailbox.acknowledged < seqs[0] <= seqs[-1] <= broker._post.last_seq
    assert len(mailbox) <= limits.MAILBOX_MESSAGES_MAX
    assert mailbox.bytes <= limits.MAILBOX_BYTES_MAX
    assert all(letter.bytes == text_bytes(letter.delivery.text) for letter in letters)
    in_memory = sum(letter.bytes for letter in letters)
    assert mailbox.bytes >= in_memory
    if not mailbox.stored:
        assert mailbox.bytes == in_memory
    by_sender = counted_by_sender(letter.delivery for letter in letters)
    counted = dict(mailbox.shares)
    if mailbox.is_crowded and not mailbox.stored:
        assert counted == by_sender
    assert sum(count for count, _ in counted.values()) == mailbox.stored + (
        len(letters) if mailbox.is_crowded else 0
    )
    assert sum(size for _, size in counted.values()) == (
        mailbox.bytes if mailbox.is_crowded else mailbox.bytes - in_memory
    )

    assert 0 <= mailbox.sent <= min(len(letters), limits.WINDOW_MESSAGES_MAX)
    sent = letters[: mailbox.sent]
    assert mailbox.sent_bytes == sum(letter.bytes for letter in sent)
    assert mailbox.sent_bytes <= limits.WINDOW_TEXT_BYTES_MAX
    online = broker._presence.online.get(mailbox.user)
    if mailbox.session == NOBODY:
        assert mailbox.sent == 0
        assert mailbox.loading or online is None
        assert len(mailbox) or mailbox.loading, "an empty mailbox is forgotten"
        if not mailbox.loading:
            assert not letters or not letters[0].safe, "what is on disk is left there"
    else:
        assert mailbox.session == online
        assert mailbox.stored == 0 and not mailbox.loading
    if mailbox.loading:
        assert mailbox.stored


def _check_safety(broker: Broker, mailbox: Mailbox) -> None:
    """What is not safe is in the commit under way, or will be in one when it is due."""
    journal = broker._journal
    under_way = {id(letter) for letter in journal.under_way.letters} if journal.under_way else set()
    for letter in mailbox.letters:
        assert letter.recipient == mailbox.user
        if letter.safe:
            assert letter.written, "safe and unacknowledged means written"
        elif letter.written:
            assert id(letter) in under_way
        else:
            assert mailbox in journal._mailboxes and journal.due <= letter.due
            assert letter in mailbox.unwritten()
