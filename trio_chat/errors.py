"""What can go wrong, as values: one stable code and one sentence for people each.

A refusal is a value (`ErrorCode`), sent in an `Error` reply. An exception is raised only
where somebody broke the protocol (`ProtocolViolation`) or gave the program something
that it cannot work with (`UsageError`), or where the world around it failed
(`FailureError`).

The sentences of sections 8 and 3 of the assignment stand here letter for letter.
"""

from __future__ import annotations

from enum import Enum

from . import limits


class ErrorCode(Enum):
    """Why a request was refused, or a connection closed.

    The value is what stands on the wire and never changes; `text` is for people. A client takes
    a code that it does not know for `OTHER`, and shows the text.
    """

    OTHER = "other"

    # -- Connecting
    TLS_REQUIRED = "tls_required"
    TOO_MANY_CONNECTIONS = "too_many_connections"

    # -- Login (section 3.1, cases 1 and 2 of section 8)
    INVALID_PASSWORD = "invalid_password"  # noqa: S105  # a code, not a secret
    NOW_BLOCKED = "now_blocked"
    STILL_BLOCKED = "still_blocked"
    ALREADY_ONLINE = "already_online"
    LOGIN_TIMEOUT = "login_timeout"
    LOGIN_BUSY = "login_busy"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    LOGINS_OFF = "logins_off"
    INVALID_TOKEN = "invalid_token"  # noqa: S105  # a code, not a secret

    # -- Requests (section 3.3)
    UNKNOWN_USER = "unknown_user"
    MESSAGE_SELF = "message_self"
    BLOCK_SELF = "block_self"
    UNBLOCK_SELF = "unblock_self"
    BLOCKED_BY_RECIPIENT = "blocked_by_recipient"
    ALREADY_BLOCKED = "already_blocked"
    NOT_BLOCKED = "not_blocked"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_EMPTY = "text_empty"
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_SHARE_FULL = "mailbox_share_full"
    NOT_STORED = "not_stored"
    TOO_MANY_USERS = "too_many_users"
    BUSY = "busy"

    # -- Introductions (section 3.4)
    INTRODUCE_SELF = "introduce_self"
    BLOCKED_BY_PEER = "blocked_by_peer"
    PEER_OFFLINE = "peer_offline"
    PEER_NOT_LISTENING = "peer_not_listening"

    # -- Files (section 3.5)
    BAD_FILE = "bad_file"
    FILE_DIFFERS = "file_differs"
    TOO_MANY_FILES = "too_many_files"
    FILES_SHARE_FULL = "files_share_full"
    NOT_REGISTERED = "not_registered"

    # -- The end of a session that its user did not ask for
    IDLE = "idle"
    REPLACED = "replaced"
    KICKED = "kicked"
    ACCOUNT_REMOVED = "account_removed"
    SLOW = "slow"
    STOPPING = "stopping"
    MAILBOX_UNREADABLE = "mailbox_unreadable"

    # -- Violations of the protocol
    BAD_LINE = "bad_line"
    LINE_TOO_LONG = "line_too_long"
    WRONG_PHASE = "wrong_phase"
    WRONG_VERSION = "wrong_version"
    ID_NOT_INCREASING = "id_not_increasing"

    @classmethod
    def _missing_(cls, value: object) -> ErrorCode | None:
        return cls.OTHER if isinstance(value, str) else None

    @property
    def older(self) -> ErrorCode:
        """What a client is told that knows only the codes of the first version."""
        return _OLDER.get(self, self)

    @property
    def text(self) -> str:
        """The sentence for people; fields in braces are filled by `describe`."""
        return _TEXTS[self]

    def describe(self, **fields: object) -> str:
        """The sentence with its fields filled in."""
        return _TEXTS[self].format(**fields)


_OLDER = {
    ErrorCode.MAILBOX_SHARE_FULL: ErrorCode.MAILBOX_FULL,
    ErrorCode.FILES_SHARE_FULL: ErrorCode.TOO_MANY_FILES,
    ErrorCode.LOGINS_OFF: ErrorCode.LOGIN_BUSY,
    # After these a client does not come back by itself.
    ErrorCode.KICKED: ErrorCode.IDLE,
    ErrorCode.ACCOUNT_REMOVED: ErrorCode.IDLE,
}

_TEXTS = {
    ErrorCode.OTHER: "Error",
    ErrorCode.TLS_REQUIRED: "This server takes no unencrypted connections from here",
    ErrorCode.TOO_MANY_CONNECTIONS: (
        "Too many connections from your address. Please try again later"
    ),
    ErrorCode.INVALID_PASSWORD: "Invalid Password. Please try again",
    ErrorCode.NOW_BLOCKED: (
        "Invalid Password. Your account has been blocked. Please try again later"
    ),
    ErrorCode.STILL_BLOCKED: (
        "Your account is blocked due to multiple login failures. Please try again later"
    ),
    ErrorCode.ALREADY_ONLINE: (
        "Your account is already logged in elsewhere. Log out there first, then try again"
    ),
    ErrorCode.LOGIN_TIMEOUT: (
        f"Login took longer than {limits.LOGIN_SECONDS_MAX:.0f} seconds. Please start again"
    ),
    ErrorCode.LOGIN_BUSY: "Too many people are logging in just now. Please try again later",
    ErrorCode.TOO_MANY_ATTEMPTS: (
        "Too many logins from your address. Please try again in {seconds:.0f} seconds"
    ),
    ErrorCode.LOGINS_OFF: ("The server lets nobody log in at the moment. Please try again later"),
    ErrorCode.INVALID_TOKEN: "Your session has ended. Please log in again",
    ErrorCode.UNKNOWN_USER: "Error. Invalid user",
    ErrorCode.MESSAGE_SELF: "Error. Cannot message self",
    ErrorCode.BLOCK_SELF: "Error. Cannot block self",
    ErrorCode.UNBLOCK_SELF: "Error. Cannot unblock self",
    ErrorCode.BLOCKED_BY_RECIPIENT: (
        "Your message could not be delivered as the recipient has blocked you"
    ),
    ErrorCode.ALREADY_BLOCKED: "Error. {user} is already blocked",
    ErrorCode.NOT_BLOCKED: "Error. {user} was not blocked",
    ErrorCode.TEXT_TOO_LONG: (
        f"Error. A message can have at most {limits.TEXT_BYTES_MAX} bytes; this one has {{size}}"
    ),
    ErrorCode.TEXT_EMPTY: "Error. A message cannot be empty",
    ErrorCode.MAILBOX_FULL: (
        "Your message could not be delivered as the mailbox of {user} is full."
        " Please try again after {user} has logged in"
    ),
    ErrorCode.MAILBOX_SHARE_FULL: (
        "Your message could not be delivered as too many of yours wait for {user} already."
        " Please try again after {user} has logged in"
    ),
    ErrorCode.NOT_STORED: (
        "Error. The server could not store this, so it may not last. Please try again later"
    ),
    ErrorCode.TOO_MANY_USERS: (
        "Error. There are too many users to list; 'whoelsesince' with a shorter time may list fewer"
    ),
    ErrorCode.BUSY: "Your message could not be delivered as the server is busy. Please try again",
    ErrorCode.INTRODUCE_SELF: "Error. Cannot start private messaging with self",
    ErrorCode.BLOCKED_BY_PEER: "Error. {user} has blocked you",
    ErrorCode.PEER_OFFLINE: "Error. {user} is offline",
    ErrorCode.PEER_NOT_LISTENING: (
        "Error. The client of {user} takes no direct connections; 'message' goes through the server"
    ),
    ErrorCode.BAD_FILE: "Error. This cannot be registered: {reason}",
    ErrorCode.FILE_DIFFERS: (
        "Error. Another file is registered as {name} already. Please rename yours"
    ),
    ErrorCode.TOO_MANY_FILES: "Error. There are too many registered files; this one was not added",
    ErrorCode.FILES_SHARE_FULL: (
        "Error. The server has no room for one more file of yours;"
        " 'unregister <filename>' takes one back"
    ),
    ErrorCode.NOT_REGISTERED: "Error. No file of yours is registered as {name}",
    ErrorCode.IDLE: "You have been logged out after {seconds:g} seconds without activity",
    ErrorCode.REPLACED: "Your session goes on over a new connection of the same client",
    ErrorCode.KICKED: "You have been logged out by the operator of the server",
    ErrorCode.ACCOUNT_REMOVED: "You have been logged out as your account was removed",
    ErrorCode.SLOW: "You have been logged out as your terminal did not keep up with the server",
    ErrorCode.STOPPING: "The server is shutting down",
    ErrorCode.MAILBOX_UNREADABLE: (
        "The server could not read your messages; they are kept. Please try again later"
    ),
    ErrorCode.BAD_LINE: "Protocol error. {reason}",
    ErrorCode.LINE_TOO_LONG: "Protocol error. A line can have at most {limit} bytes",
    ErrorCode.WRONG_PHASE: "Protocol error. '{type}' is not allowed in phase '{phase}'",
    ErrorCode.WRONG_VERSION: (
        "Protocol error. This server speaks version {ours}, the client version {theirs}."
        " Please update the older one"
    ),
    ErrorCode.ID_NOT_INCREASING: (
        "Protocol error. Request numbers must increase; {theirs} came after {ours}"
    ),
}

assert set(_TEXTS) == set(ErrorCode), "every code has its sentence"


class ProtocolViolation(Exception):
    """The other side broke the protocol; its connection ends with this code and text."""

    def __init__(self, code: ErrorCode, **fields: object) -> None:
        self.code = code
        self.text = code.describe(**fields)
        super().__init__(self.text)


class UsageError(Exception):
    """The program was given something that it cannot work with; its text is one line."""


class FailureError(Exception):
    """Something that the program needs did not work; its text is one line for the user."""
