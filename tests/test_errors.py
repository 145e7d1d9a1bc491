"""Every refusal has its sentence; those of the assignment's section 8 letter for letter."""

import string

import pytest

from trio_chat import limits
from trio_chat.errors import ErrorCode, ProtocolViolation

FIELDS: dict[str, object] = {
    "user": "yoda",
    "size": 9000,
    "name": "a.bin",
    "seconds": 600.0,
    "limit": 100,
    "reason": "Not valid UTF-8",
    "type": "whoelse",
    "phase": "login",
    "ours": 1,
    "theirs": 2,
}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_one_line_that_formats(code: ErrorCode) -> None:
    text = code.describe(**FIELDS)
    assert text
    assert text == text.strip()
    assert text.isprintable()
    assert "{" not in text
    assert {name for _, name, _, _ in string.Formatter().parse(code.text) if name} <= set(FIELDS)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (ErrorCode.INVALID_PASSWORD, "Invalid Password. Please try again"),
        (
            ErrorCode.NOW_BLOCKED,
            "Invalid Password. Your account has been blocked. Please try again later",
        ),
        (
            ErrorCode.STILL_BLOCKED,
            "Your account is blocked due to multiple login failures. Please try again later",
        ),
        (ErrorCode.UNKNOWN_USER, "Error. Invalid user"),
        (
            ErrorCode.BLOCKED_BY_RECIPIENT,
            "Your message could not be delivered as the recipient has blocked you",
        ),
        (ErrorCode.BLOCK_SELF, "Error. Cannot block self"),
        (ErrorCode.NOT_BLOCKED, "Error. yoda was not blocked"),
    ],
)
def test_sentences_of_the_assignment(code: ErrorCode, text: str) -> None:
    assert code.describe(user="yoda") == text


def test_codes_on_the_wire_are_words() -> None:
    assert all(code.value == code.name.lower() for code in ErrorCode)


def test_braces_in_a_field_are_text() -> None:
    assert ErrorCode.NOT_BLOCKED.describe(user="{size}") == "Error. {size} was not blocked"


def test_a_text_that_is_too_long_is_told_the_bound_and_its_size() -> None:
    text = ErrorCode.TEXT_TOO_LONG.describe(size=9000)
    assert str(limits.TEXT_BYTES_MAX) in text
    assert "9000" in text


def test_a_violation_tells_its_code_and_text() -> None:
    violation = ProtocolViolation(ErrorCode.LINE_TOO_LONG, limit=100)
    assert violation.code is ErrorCode.LINE_TOO_LONG
    assert str(violation) == violation.text == "Protocol error. A line can have at most 100 bytes"
