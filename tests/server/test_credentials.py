"""The credentials file: what it may hold, and what is said of a line at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.errors import UsageError
from trio_chat.server.credentials import parse_credentials, read_credentials

GOOD = b"hans solo\nyoda wise\n"
LONGEST_NAME = b"n" * limits.NAME_BYTES_MAX
LONGEST_PASSWORD = b"p" * limits.PASSWORD_BYTES_MAX


def error_of(data: bytes) -> str:
    """The one line that is said about these bytes."""
    with pytest.raises(UsageError) as caught:
        parse_credentials(data, "accounts")
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.rstrip(b"\n"),
        GOOD.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + GOOD,
        b"\n\r\n  \n" + GOOD + b"\n\t\n",
        b"hans    solo\n  yoda wise  \n",
        b"hans\tsolo\nyoda \t wise\t\n",
    ],
)
def test_line_ends_blanks_and_a_byte_order_mark_do_not_matter(data: bytes) -> None:
    credentials = parse_credentials(data, "accounts")
    assert credentials.users == {"hans", "yoda"}
    assert credentials.check("hans", "solo")
    assert credentials.check("yoda", "wise")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("hans", "wise"),
        ("hans", "Solo"),
        ("Hans", "solo"),
        ("hans", ""),
        ("hans", "solo "),
        ("hans", "solo\r"),
        ("hans", "sol"),
        ("hans", "solo\0"),
        ("nobody", "solo"),
        ("", ""),
        ("nobody", "\udcff".encode(errors="surrogatepass").decode(errors="replace")),
    ],
)
def test_anything_but_the_exact_name_and_password_is_wrong(user: str, password: str) -> None:
    assert not parse_credentials(GOOD, "accounts").check(user, password)


@pytest.mark.parametrize(
    "password", ["#!$%&'\"\\", "pässwörd", "\u00a0", "a\x0bb", "\x1c", "a\u2028b", "秘密", "a\0b"]
)
def test_a_password_may_hold_any_character_but_blank_tab_and_line_end(password: str) -> None:
    credentials = parse_credentials(f"hans {password}\n".encode(), "accounts")
    assert credentials.check("hans", password)


@pytest.mark.parametrize("user", ["hans", "Zoë", "汉", "r2-d2_#", "@"])
def test_a_name_may_hold_any_printable_character(user: str) -> None:
    assert parse_credentials(f"{user} secret".encode(), "accounts").users == {user}


def test_the_longest_name_and_password_are_taken() -> None:
    credentials = parse_credentials(LONGEST_NAME + b" " + LONGEST_PASSWORD, "accounts")
    assert credentials.check(LONGEST_NAME.decode(), LONGEST_PASSWORD.decode())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"luke", "expected a user name, a blank and a password"),
        (b"luke ", "expected a user name, a blank and a password"),
        (b"luke sky walker", "expected a user name, a blank and a password"),
        (b"luke \xff\xfe", "not valid UTF-8"),
        (b"lu\x1bke skywalker", "the user name has a control character"),
        ("lu\u202eke skywalker".encode(), "the user name has a control character"),
        (LONGEST_NAME + b"n skywalker", "a user name can have 64 bytes"),
        ("é".encode() * 33 + b" skywalker", "a user name can have 64 bytes"),
        (b"luke " + LONGEST_PASSWORD + b"p", "a password can have 1024 bytes"),
        (b"hans skywalker", "user hans stands in an earlier line too"),
    ],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_line_at_fault_is_named_and_its_password_is_not(
    line: bytes, error: str, newline: bytes
) -> None:
    text = error_of(newline.join([b"hans solo", b"", line, b"yoda wise"]))
    assert text == f"accounts, line 3: {error}"
    assert "sky" not in text


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"  \t"])
def test_a_file_without_users_is_an_error(data: bytes) -> None:
    assert "accounts has no users" in error_of(data)


def test_utf_16_is_an_error_and_no_accident() -> None:
    assert error_of("hans solo\n".encode("utf-16")) == "accounts, line 1: not valid UTF-8"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_bytes(GOOD)
    assert read_credentials(path).users == {"hans", "yoda"}


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "missing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=reason) as caught:
            read_credentials(path)
        assert str(path) in str(caught.value)
