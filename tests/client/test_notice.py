from __future__ import annotations

import pytest

from trio_chat.client.notice import CHAT, Kind, Notice, error, notice, text_of


def test_the_text_of_a_notice_is_its_lines() -> None:
    two = notice(Kind.HELP, "one", "two")
    assert two.fields == {"text": "one\ntwo"}
    assert text_of([two, notice(Kind.OK, command="message"), error("usage", "Error.")]) == (
        "one\ntwo\nError.\n"
    )


def test_a_notice_has_the_fields_of_its_kind() -> None:
    with pytest.raises(AssertionError, match="other fields"):
        notice(Kind.PRESENCE, "luke logged in", user="luke")
    with pytest.raises(AssertionError, match="other fields"):
        Notice(Kind.MESSAGE, ("hans: hi",), {"text": "hi", "from": "hans"})


def test_what_others_have_written_has_a_sender() -> None:
    for kind in CHAT:
        assert Notice(kind, ("hans: hi",), {"from": "hans", "text": "hi"}).sender == "hans"
    assert notice(Kind.INFO, "hi").sender == ""
