"""What somebody may have meant who has typed no command: for the hint below "Invalid command".

Rule: pure, and data. People bring the words of other chats with them, often behind a slash.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

_OTHER_WORDS = {
    "help": ("?", "h", "commands", "man", "menu", "usage"),
    "logout": ("quit", "exit", "bye", "q", "leave", "part", "disconnect", "signoff", "logoff"),
    "message": ("msg", "tell", "send", "pm", "dm", "m", "whisper", "w", "text", "reply"),
    "broadcast": ("say", "shout", "all", "wall", "announce", "me", "notice"),
    "whoelse": ("who", "users", "names", "online", "list", "ls", "whois", "presence"),
    "whoelsesince": ("seen", "last", "lastseen"),
    "block": ("ignore", "mute", "ban"),
    "unblock": ("unignore", "unmute", "unban", "allow"),
    "startprivate": ("query", "private-chat", "connect", "p2p"),
    "stopprivate": ("close", "unquery"),
    "register": ("share", "upload", "put", "offer", "serve"),
    "searchFile": ("search", "find", "lookup"),
    "download": ("get", "fetch", "dl"),
    "downloads": ("transfers", "jobs"),
    "cancel": ("abort", "stop"),
}
"""Each command, and words of other programs for it."""

_COMMAND_OF = {word: command for command, words in _OTHER_WORDS.items() for word in words}

_NOT_HERE = {
    "join": "There are no rooms: 'broadcast <message>' goes to everybody online",
    "nick": "Your name is that of your account; the operator can add another",
    "passwd": "The operator changes passwords",
    "clear": "Ctrl-L clears the screen",
}
"""What other chats have, and we don't."""


def guess(word: str, names: Collection[str]) -> str:
    """One sentence that may help; empty if nothing resembles that word.

    Args:
        word: with which the line began.
        names: of all commands.
    """
    plain = word.lstrip("/\\:!.").lower() or "?"
    if plain in _NOT_HERE:
        return _NOT_HERE[plain]
    lower = {name.lower(): name for name in names}
    meant = lower.get(plain) or _COMMAND_OF.get(plain)
    if meant is None:
        close = difflib.get_close_matches(plain, lower, n=1, cutoff=0.7)
        meant = lower[close[0]] if close else ""
    return f"Did you mean '{meant}'?" if meant else ""
