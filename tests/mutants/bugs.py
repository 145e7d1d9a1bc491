"""The deliberate bugs: which text of which file becomes what."""

from __future__ import annotations

from msgspec import Struct

SEEDS_MAX = 200
"""Within so many seeds each must be found."""


class Bug(Struct, frozen=True):
    """A deliberate bug.

    Attributes:
        name: what it breaks.
        file: below `trio_chat`.
        old: a text that stands there exactly once.
        new: what becomes of it.
    """

    name: str
    file: str
    old: str
    new: str


BUGS = (
    Bug(
        "acknowledged before the commit",
        "server/store_task.py",
        "                await store.commit(job)\n                result = Committed(job.number)\n",
        "                await submit(Committed(job.number))\n"
        "                try:\n"
        "                    await store.commit(job)\n"
        "                except StoreError:\n"
        "                    pass\n"
        "                continue\n",
    ),
    Bug(
        "a commit that failed is taken for done",
        "server/store_task.py",
        "result = CommitFailed(job.number)",
        "result = Committed(job.number)",
    ),
    Bug(
        "what was sent is not sent again at the next login",
        "core/mailboxes.py",
        "        self.sent = self.sent_bytes = 0\n\n    def acknowledge",
        "\n    def acknowledge",
    ),
    Bug(
        "an acknowledgement covers all that was sent",
        "core/mailboxes.py",
        "while len(removed) < sent and letters[0].delivery.seq <= seq:",
        "while len(removed) < sent:",
    ),
    Bug(
        "wrong order after reading from disk",
        "core/mailboxes.py",
        "for delivery in reversed(missing):",
        "for delivery in missing:",
    ),
    Bug(
        "the last place of the window is counted and not sent",
        "core/mailboxes.py",
        "            letters.append(letter)\n            self.sent,",
        "            if index != limits.WINDOW_MESSAGES_MAX - 1:\n"
        "                letters.append(letter)\n            self.sent,",
    ),
    Bug(
        "sequence numbers start again with the server",
        "core/post_office.py",
        "self.last_seq = last_seq",
        "self.last_seq = 0",
    ),
    Bug(
        "one request is lost where a batch is cut",
        "server/connection.py",
        "requests = requests[limits.REQUESTS_BATCH_MAX :]",
        "requests = requests[limits.REQUESTS_BATCH_MAX + 1 :]",
    ),
    Bug(
        "a wake-up of the outbox is lost",
        "net/outbox.py",
        "        self._unsent += data\n        self._work.set()\n",
        "        self._unsent += data\n",
    ),
    Bug(
        "the outbox drops what the socket did not take",
        "net/outbox.py",
        "del self._unsent[:taken]",
        "del self._unsent[: taken + 1]",
    ),
    Bug(
        "the client forgets what it has shown",
        "client/shown.py",
        "self._try(self._append, self._path, new)",
        "pass",
    ),
    Bug(
        "the client remembers before it shows",
        "client/chat.py",
        "                        await self._terminal.show(notices)\n"
        "                    self._shown.add(keys)\n",
        "                        self._shown.add(keys)\n"
        "                        await self._terminal.show(notices)\n",
    ),
    Bug(
        "the client does not send again what had no answer",
        "client/session.py",
        "            elif self._is_allowed(exchange):\n                self._put(exchange)\n",
        "            elif exchange.is_sent:\n                continue\n"
        "            elif self._is_allowed(exchange):\n                self._put(exchange)\n",
    ),
    Bug(
        "the client sends again in the wrong order",
        "client/session.py",
        "for exchange in [each for each in self._exchanges.values() if not each.is_on_wire]:",
        "for exchange in [each for each in self._exchanges.values() if not each.is_on_wire][::-1]:",
    ),
    Bug(
        "the client shows a repeated broadcast again",
        "client/chat.py",
        "case wire.Delivery() | wire.Announcement():",
        "case wire.Delivery():",
    ),
    Bug(
        "a block does not hold for messages",
        "core/broker.py",
        "            or recipient in self._blockers_of.get(sender, ())\n",
        "",
    ),
    Bug(
        "a block does not hold for broadcasts",
        "core/broker.py",
        "if receiver != session.id and user not in blockers",
        "if receiver != session.id",
    ),
    Bug(
        "a block does not hold for presence",
        "core/gatekeeper.py",
        "if name != user and name not in blocked",
        "if name != user",
    ),
    Bug(
        "a block does not hold for introductions",
        "core/broker.py",
        "elif name in self._blocks.blockers_of(session.user):  # before",
        "elif False:  # before",
    ),
    Bug(
        "a block does not hold for searches",
        "core/registry.py",
        "if user not in blockers:\n                holders",
        "if True:\n                holders",
    ),
    Bug(
        "a block is confirmed and not kept",
        "core/broker.py",
        "        self._journal.add_block(change, now)\n",
        "        if not on:\n            self._journal.add_block(change, now)\n"
        "        else:\n            self._outgoing.send(session.id, wire.Ok(request.id))\n",
    ),
    Bug(
        "an unblock is confirmed and not kept",
        "core/broker.py",
        "        self._journal.add_block(change, now)\n",
        "        if on:\n            self._journal.add_block(change, now)\n"
        "        else:\n            self._outgoing.send(session.id, wire.Ok(request.id))\n",
    ),
    Bug(
        "nobody is told of a connection that was lost",
        "core/gatekeeper.py",
        "            self._announce(session.user, online=False)\n",
        "            if session.last_id % 2:\n                self._announce(session.user, online=False)\n",
    ),
    Bug(
        "everybody is told of a session that goes on elsewhere",
        "core/gatekeeper.py",
        "        self._enter(session, ghost.user)\n",
        "        self._enter(session, ghost.user)\n"
        "        self._announce(ghost.user, online=True)\n",
    ),
    Bug(
        "a broadcast leaves out who came last",
        "core/broker.py",
        "self._outgoing.send_many(receivers, announcement)",
        "self._outgoing.send_many(receivers[: -1 if request.id % 3 == 0 else None], announcement)",
    ),
    Bug(
        "whoelsesince knows only who is still online",
        "core/presence.py",
        "self._logouts[user] = now",
        "self._logouts[user] = 0.0",
    ),
    Bug(
        "whoelsesince goes by the login",
        "core/presence.py",
        "        self._logouts[user] = now",
        "        self._logouts[user] = now - 10.0",
    ),
    Bug(
        "what people do does not count as activity",
        "core/broker.py",
        "                session.deadline = idle_deadline\n",
        "                pass\n",
    ),
    Bug(
        "a line break lets a text look like somebody else's",
        "client/render.py",
        'CONTINUATION = "    "',
        'CONTINUATION = ""',
    ),
    Bug(
        "a private message is acknowledged before it is shown",
        "client/link.py",
        "                        await self._show(self.user, message.text)\n"
        "                        shown = message.id\n",
        "                        self._put(PrivateAck(message.id))\n"
        "                        await self._show(self.user, message.text)\n",
    ),
    Bug(
        "a piece of a file is written in another one's place",
        "client/files/disk.py",
        "        offset = leaf.offset\n",
        "        offset = max(0, leaf.offset - self.manifest.piece_bytes)\n",
    ),
    Bug(
        "a connection that has gone is never forgotten",
        "server/app.py",
        "        hub.detach(connection)\n",
        "",
    ),
    Bug(
        "a session is not ended when the connection is",
        "server/connection.py",
        "            return SessionClosed(self.session)\n",
        "            return None\n",
    ),
)
