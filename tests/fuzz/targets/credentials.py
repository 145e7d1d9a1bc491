"""A credentials file: each line is an account that works, or the one at fault is named."""

from __future__ import annotations

from tests.fuzz.reader import Reader
from tests.fuzz.stage import assert_harmless
from trio_chat import limits
from trio_chat.errors import UsageError
from trio_chat.server.credentials import parse_credentials, parse_lines
from trio_chat.text import clean_line

PARTS = (
    *(b"\n", b" ", b"\t", b"\r\n", b"\xef\xbb\xbf", b"#", b"hans solo\n", b"yoda ", b"\0", b"\x85"),
    b"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Zm9vYmFyYmF6Zm9v",
    b"$argon2id$v=19$m=",
)


def one_input(data: bytes) -> None:
    reader = Reader(data)
    content = b""
    while reader.more:
        content += reader.pick((*PARTS, b"")) + reader.take(reader.below(8))
    try:
        entries = {user: entry for _, user, entry in parse_lines(content, "users")}
        credentials = parse_credentials(content, "users")
    except UsageError as error:
        assert str(error).startswith("users")
        assert_harmless([clean_line(str(error))])
        return
    assert credentials.users == set(entries)
    assert_harmless(sorted(credentials.users))
    assert credentials.changed_since(parse_credentials(content, "users")) == set()
    assert all(0 < len(user.encode()) <= limits.NAME_BYTES_MAX for user in entries)
    if not credentials.is_slow:
        assert all(credentials.check(user, entry) for user, entry in entries.items())
        assert not credentials.check("not there", "")
