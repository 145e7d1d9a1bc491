"""Somebody without an account, who tries passwords and sends what is no message."""

from __future__ import annotations

import json
import random

import trio

from .network import Network
from .world import NAMES, SERVER_HOST, SERVER_PORT

HOST = "203.0.113.7"

HELLO = b'{"type":"hello","version":1}\n'


def _speech(chance: random.Random) -> bytes:
    """What one of them says."""
    login = {"type": "login", "id": 1, "user": chance.choice(NAMES), "password": "guess"}
    guess = json.dumps(login).encode() + b"\n"
    return chance.choice(
        (
            b"",
            HELLO[:9],
            b"GET / HTTP/1.1\r\n\r\n",
            b"x" * 70_000,
            HELLO + HELLO,
            HELLO + b'{"type":"message","id":1,"to":"yoda","text":"hey dude"}\n',
            HELLO + guess,
            HELLO + guess,
            HELLO + guess + guess,
        )
    )


async def visit(network: Network, chance: random.Random) -> None:
    """Connect, say something, stay for a while without a look at the answer, and go."""
    try:
        end = await network.connect(HOST, SERVER_HOST, SERVER_PORT)
    except OSError:
        return
    try:
        with trio.move_on_after(chance.random() * 5):
            await end.send_all(_speech(chance))
            await trio.sleep_forever()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        end.close()
