"""Kill the server with -9 under load, again and again: is any acknowledged message lost?

In each round users send as fast as they are answered, half of it to users who are online
and half to users who are not. At a random moment the server is killed. After its restart
all receivers log in and read what there is. At the end every message that was acknowledged
to its sender must have been shown exactly once, and in order; a receiver remembers what it
has shown in the same way as the real client does.

Exits with 1 if a message was lost, doubled or overtaken.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import Counter

from trio_chat.client.shown import ShownKeys
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import LineDecoder, server_message_decoder

from .load import Client, Load
from .peers.ours import OurClient
from .server_process import ServerProcess, user_name

SENDERS = range(20)
ONLINE = range(20, 30)
OFFLINE = range(30, 40)
IN_FLIGHT = 16
QUIET_SECONDS = 1.0


class Receiver:
    """A person who reads: what was on the screen, over all connections."""

    def __init__(self) -> None:
        self.keys = ShownKeys()
        self.texts: list[str] = []


class Person(OurClient):
    """A user who checks everything.

    Attributes:
        sent: request number to text.
        acknowledged: texts that the server has acknowledged.
    """

    def __init__(self, number: int, port: int, receiver: Receiver) -> None:
        self.sent: dict[int, str] = {}
        self.acknowledged: list[str] = []
        self._receiver = receiver
        self._decoder: LineDecoder[wire.ServerMessage] = server_message_decoder()
        super().__init__(number, port)

    def on_data(self, data: bytes) -> None:
        """Show what came, then acknowledge it, as a client does."""
        seq = 0
        for message in self._decoder.feed(data):
            if isinstance(message, wire.Delivery):
                seq = message.seq
                key = (message.sender, message.client, message.id)
                if key not in self._receiver.keys:
                    self._receiver.texts.append(message.text)
                    self._receiver.keys.add([key])
            elif isinstance(message, wire.Ok) and message.id in self.sent:
                self.acknowledged.append(self.sent[message.id])
                self.answers += 1
            elif isinstance(message, wire.Error):
                raise RuntimeError(message.text)
        if seq:
            self.send(b'{"type":"ack","seq":%d}\n' % seq)

    def send_text(self, to: str, text: str) -> None:
        """Send one message, and remember it."""
        self.sent[self.next_id] = text
        self.message(to, text.encode(), 1)


class Experiment:
    """Rounds of load, kill and check on one server and its data."""

    def __init__(self, server: ServerProcess, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.receivers = {number: Receiver() for number in (*SENDERS, *ONLINE, *OFFLINE)}
        self.sent = 0
        self.acknowledged: list[tuple[int, str]] = []
        self._count = 0

    def _log_in(self, numbers: range) -> Load:
        load = Load()
        for number in numbers:
            person = Person(number, self.server.port, self.receivers[number])
            person.wait_for_login()
            load.add(person)
        return load

    def _send(self, person: Client) -> None:
        assert isinstance(person, Person)
        while len(person.sent) - person.answers < IN_FLIGHT:
            receiver = self.chance.choice((*ONLINE, *OFFLINE))
            self._count += 1
            person.send_text(user_name(receiver), f"{receiver}:{person.name}:{self._count}")

    def load_and_kill(self) -> None:
        """Send until a random moment, then kill the server."""
        load = self._log_in(range(SENDERS.start, ONLINE.stop))
        senders = load.clients[: len(SENDERS)]
        for sender in senders:
            self._send(sender)
        end = time.monotonic() + self.chance.uniform(0.1, 0.6)

        def react(person: Client) -> None:
            if person in senders:
                self._send(person)

        load.run_while(lambda: time.monotonic() < end, react)
        self.server.stop(signal.SIGKILL)
        for person in senders:
            assert isinstance(person, Person)
            self.sent += len(person.sent)
            self.acknowledged += [(int(t.split(":")[0]), t) for t in person.acknowledged]
        load.close()

    def restart_and_read(self) -> None:
        """Start the server again; let everybody read what waits."""
        self.server.start()
        load = self._log_in(range(ONLINE.start, OFFLINE.stop))
        before = -1
        while (shown := sum(len(r.texts) for r in self.receivers.values())) != before:
            before = shown
            load.settle(QUIET_SECONDS)
        load.close()

    def verdict(self) -> tuple[int, int, int, int]:
        """How many messages were received; lost; doubled; overtaken."""
        counts = {number: Counter(r.texts) for number, r in self.receivers.items()}
        received = sum(len(count) for count in counts.values())
        lost = sum(counts[receiver][text] == 0 for receiver, text in self.acknowledged)
        doubled = sum(n - 1 for count in counts.values() for n in count.values())
        overtaken = 0
        for receiver in self.receivers.values():
            latest: dict[str, int] = {}
            for text in receiver.texts:
                _, sender, number = text.split(":")
                overtaken += int(number) < latest.get(sender, 0)
                latest[sender] = max(int(number), latest.get(sender, 0))
        return received, lost, doubled, overtaken


def main() -> int:
    """Run the rounds; print a line for each; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    bad = 0
    with ServerProcess(OFFLINE.stop) as server:
        experiment = Experiment(server, random.Random(arguments.seed))
        for number in range(1, arguments.rounds + 1):
            experiment.load_and_kill()
            experiment.restart_and_read()
            received, *errors = experiment.verdict()
            lost, doubled, overtaken = errors
            bad = sum(errors)
            print(
                f"round {number}: sent {experiment.sent}, "
                f"acknowledged {len(experiment.acknowledged)}, received {received}, "
                f"lost {lost}, doubled {doubled}, overtaken {overtaken}",
                flush=True,
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
