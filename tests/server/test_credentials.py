"""The credentials file: what it may hold, and what is said of a line at fault."""

from __future__ import annotations

from pathlib import Path

import argon2
import pytest

from trio_chat import limits
from trio_chat.errors import UsageError
from trio_chat.server import credentials as credentials_module
from trio_chat.server.credentials import Credentials, parse_credentials, read_credentials

from .harness import QUICK_HASHER

GOOD = b"hans solo\nyoda wise\n"
PLAIN = {"hans": "solo", "yoda": "wise"}
HASHES = {
    user: QUICK_HASHER.hash(password, salt=b"the same anytime") for user, password in PLAIN.items()
}
FORMS = ("Zoë\u0161ỗ", "Zoe\u0308s\u030co\u0302\u0303", "Zoës\u030cô\u0303")
"""One word, composed, decomposed, and as some keyboards write it."""
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
    "password", ["#!$%&'\"\\", "pässwörd", "\u00a0", "a\x0bb", "\x1c", "a\u2028b", "秘密", "#1"]
)
def test_a_password_may_hold_any_character_but_blank_tab_and_line_end(password: str) -> None:
    credentials = parse_credentials(f"hans {password}\n".encode(), "accounts")
    assert credentials.check("hans", password)


@pytest.mark.parametrize(
    "user",
    [
        *("hans", "Zoë", "汉", "r2-d2_#", "@"),
        *(
            "han\u3000solo",
            "Jean\u00a0Luc",
            "1\u202f000",
            "👩\u200d🚀",
            "\u0645\u06cc\u200c\u062e",
            "so\u00adlo",
        ),
        *("\U0001fadc", "\U0001fae9", "\ue0a0"),  # of Unicode 16, and of nobody
    ],
)
def test_a_name_may_hold_anything_but_blanks_and_controls(user: str) -> None:
    assert parse_credentials(f"{user} secret".encode(), "accounts").users == {user}


@pytest.mark.parametrize(
    "line",
    ["#", "# of the office", "#luke skywalker", " \t# indented", "#\u00a0x y z", "## # #"],
)
def test_a_line_that_begins_with_a_hash_sign_is_a_comment(line: str) -> None:
    data = f"{line}\nhans so#lo\n{line}\nyoda #wise\n".encode()
    credentials = parse_credentials(data, "accounts")
    assert credentials.users == {"hans", "yoda"}
    assert credentials.check("hans", "so#lo") and credentials.check("yoda", "#wise")
    told = (
        "accounts, line 1 begins with # and is a comment, no account; with a blank after the # this"
        " is not said"
    )
    assert credentials.warning == (told if line == "#luke skywalker" else "")


@pytest.mark.parametrize(
    ("stored", "typed", "is_hashed"),
    [
        *((stored, typed, False) for stored in FORMS for typed in FORMS),
        # Earlier versions have hashed what they got.
        *((stored, typed, True) for stored in FORMS[:2] for typed in FORMS),
        (FORMS[2], FORMS[2], True),
    ],
)
def test_composed_and_decomposed_characters_are_the_same(
    stored: str, typed: str, is_hashed: bool
) -> None:
    entry = QUICK_HASHER.hash(stored) if is_hashed else stored
    data = f"{stored} {entry}\nhans {QUICK_HASHER.hash('solo')}\n".encode()
    credentials = parse_credentials(data, "accounts")
    assert credentials.users == {FORMS[0], "hans"}
    assert credentials.check(FORMS[0], typed)
    assert not credentials.check(FORMS[0], typed + "x")
    assert not credentials.check("hans", typed)


def test_one_name_in_two_forms_is_one_user() -> None:
    error = error_of(f"{FORMS[0]} a\n{FORMS[1]} b\n".encode())
    assert error == f"accounts, line 2: user {FORMS[0]} stands in an earlier line too"


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
        (b"lu\x1bke skywalker", "a user name has no blanks or control characters"),
        ("lu\u202eke skywalker".encode(), "a user name has no blanks or control characters"),
        (LONGEST_NAME + b"n skywalker", "a user name can have 64 bytes"),
        ("é".encode() * 33 + b" skywalker", "a user name can have 64 bytes"),
        (b"luke " + LONGEST_PASSWORD + b"p", "a password can have 1024 bytes"),
        (b"hans skywalker", "user hans stands in an earlier line too"),
        (b"lu\0ke skywalker", "a NUL character; save the file as text in UTF-8"),
        (b"luke sky\0walker", "a NUL character; save the file as text in UTF-8"),
        ("\u3000 skywalker".encode(), "a user name has no blanks or control characters"),
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
    for path, reason in (
        (tmp_path / "missing", "there is no credentials file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UsageError, match=reason) as caught:
            read_credentials(path)
        assert str(path) in str(caught.value)


# -- Hashes --------------------------------------------------------------------------------------


class CountingHasher:
    """Counts the hashes that are computed."""

    def __init__(self) -> None:
        self.count = 0

    def verify(self, entry: str, password: bytes) -> bool:
        self.count += 1
        try:
            return QUICK_HASHER.verify(entry, password)
        except argon2.exceptions.VerifyMismatchError:
            raise
        except argon2.exceptions.VerificationError as error:
            raise AssertionError("nothing was computed") from error


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> CountingHasher:
    hasher = CountingHasher()
    monkeypatch.setattr(credentials_module, "HASHER", hasher)
    return hasher


ATTEMPTS = [
    ("hans", "solo", True),
    ("hans", "wise", False),
    ("hans", "", False),
    ("hans", "\udcff", False),
    ("yoda", "wise", True),
    ("yoda", "solo", False),
    ("nobody", "solo", False),
    ("", "", False),
    ("hans", HASHES["hans"], False),
    ("yoda", HASHES["yoda"], False),
]


@pytest.mark.parametrize(("user", "password", "correct"), ATTEMPTS)
@pytest.mark.parametrize("hashed", [("hans", "yoda"), ("hans",), ("yoda",)])
def test_with_a_hash_in_the_file_every_check_computes_one_whatever_the_name(
    hasher: CountingHasher, hashed: tuple[str, ...], user: str, password: str, correct: bool
) -> None:
    entries = {name: HASHES[name] if name in hashed else PLAIN[name] for name in PLAIN}
    data = "".join(f"{name} {entry}\n" for name, entry in entries.items()).encode()
    credentials = parse_credentials(data, "accounts")
    assert credentials.is_slow
    assert credentials.check(user, password) is correct
    assert hasher.count == 1


def test_without_a_hash_in_the_file_none_is_computed(hasher: CountingHasher) -> None:
    credentials = parse_credentials(GOOD, "accounts")
    assert not credentials.is_slow
    for user, password, correct in ATTEMPTS:
        assert credentials.check(user, password) is correct
    assert hasher.count == 0


def test_an_unknown_name_costs_what_the_known_ones_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int]] = []

    class Spy:
        def verify(self, entry: str, password: bytes) -> bool:
            start, salt, digest = entry.rsplit("$", 2)
            seen.append((start, len(salt), len(digest)))
            raise argon2.exceptions.VerifyMismatchError

    monkeypatch.setattr(credentials_module, "HASHER", Spy())
    entry = argon2.PasswordHasher(3, 64, 2, hash_len=20, salt_len=9).hash("solo")
    credentials = parse_credentials(f"hans {entry}".encode(), "accounts")
    assert not credentials.check("nobody", "solo")
    assert not credentials.check("hans", "wise")
    assert seen[0] == seen[1]
    assert seen[0][0] == "$argon2id$v=19$m=64,t=3,p=2"


def test_whose_entry_has_changed_can_be_asked() -> None:
    hashed = QUICK_HASHER.hash("solo")
    before = Credentials({"hans": "solo", "yoda": "wise", "luke": hashed, "vader": "dark"})
    after = Credentials({"hans": hashed, "yoda": "wiser", "luke": hashed, "chewie": "roar"})
    assert after.changed_since(before) == {"hans", "yoda"}
    assert before.changed_since(after) == {"hans", "yoda"}
    assert after.changed_since(after) == frozenset()


def test_new_hashes_are_as_strong_as_recommended() -> None:
    entry = credentials_module.HASHER.hash("solo")
    assert entry.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert parse_credentials(f"hans {entry}".encode(), "accounts").check("hans", "solo")


@pytest.mark.parametrize(
    "entry",
    [
        "$argon2id$",
        "$argon2id$nonsense",
        HASHES["yoda"][:-1],
        HASHES["yoda"] + "!",
        HASHES["yoda"] + "$",
        HASHES["yoda"].replace("v=19", "v=18"),
        HASHES["yoda"].replace("m=8", "m=7"),
        HASHES["yoda"].replace("m=8", "m=4294967295"),
        HASHES["yoda"].replace("m=8", "m=" + "8" * 500),
        HASHES["yoda"].replace("t=1", "t=0"),
        HASHES["yoda"].replace("t=1", "t=100000"),
        HASHES["yoda"].replace("p=1", "p=0"),
        HASHES["yoda"].replace("p=1", "p=2"),
        "$argon2id$v=19$m=8,t=1,p=1$AAAA$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=1$!!!!!!!!!!!!$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAB$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
    ],
)
def test_a_hash_that_cannot_be_used_is_named_by_its_line(entry: str) -> None:
    text = error_of(f"hans solo\nyoda {entry}\n".encode())
    assert text == "accounts, line 2: not a valid argon2id hash"


def test_hashes_that_were_made_elsewhere_are_taken() -> None:
    for hasher in (
        argon2.PasswordHasher(1, 16, 2),
        argon2.PasswordHasher(2, 8, 1, hash_len=16, salt_len=8),
        argon2.PasswordHasher(1, 8, 1, hash_len=4, salt_len=32),
    ):
        data = f"hans {hasher.hash('solo')}".encode()
        assert parse_credentials(data, "accounts").check("hans", "solo")
