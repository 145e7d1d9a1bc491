"""A bot for trio-chat: it answers whoever asks it for the time, for a number, or for help.

    TRIO_CHAT_PASSWORD=... python bot.py HOST PORT USER

It runs the client with --json, reads what happens, and writes commands. It needs Python and the
client, and nothing else. Whatever it does not understand it leaves alone: two bots that answer
everything would never stop.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import datetime

HELP = "I know: time, dice, help"


def answer(text: str) -> str | None:
    """What to say to somebody; None for nothing."""
    match text.strip().lower():
        case "time":
            return f"{datetime.now().astimezone():%H:%M}"
        case "dice":
            return str(random.randint(1, 6))
        case "help":
            return HELP
        case _:
            return None


def say(client: subprocess.Popen[str], command: str) -> None:
    """Enter a command, as a person would."""
    if client.stdin is not None:
        client.stdin.write(f"{command}\n")
        client.stdin.flush()


def main(host: str, port: str, user: str) -> int:
    """Answer until the client ends; return its exit status."""
    command = [sys.executable, "-m", "trio_chat.client", host, port, "--user", user, "--json"]
    with subprocess.Popen(
        [*command, "--reconnect", "86400", *sys.argv[4:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as client:
        for line in client.stdout or ():
            event = json.loads(line)
            if event["event"] == "message" and (reply := answer(event["text"])) is not None:
                say(client, f"message {event['from']} {reply}")
            elif event["event"] in ("error", "closed"):
                sys.stderr.write(f"{event['text']}\n")
    return client.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
