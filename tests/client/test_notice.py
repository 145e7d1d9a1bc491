from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from trio_chat.client import render
from trio_chat.client.files import render as files_render
from trio_chat.client.notice import CHAT, Kind, Notice, error, notice, text_of


def test_the_text_of_a_notice_is_its_lines() -> None:
    two = notice(Kind.HELP, "one", "two")
    assert two.fields == {"text": "one\ntwo"}
    assert text_of(
        [two, notice(Kind.OK, command="message", user="yoda"), error("usage", "Error.")]
    ) == ("one\ntwo\nError.\n")


def test_a_notice_has_the_fields_of_its_kind() -> None:
    with pytest.raises(AssertionError, match="other fields"):
        notice(Kind.PRESENCE, "luke logged in", user="luke")
    with pytest.raises(AssertionError, match="other fields"):
        Notice(Kind.MESSAGE, ("hans: hi",), {"text": "hi", "from": "hans"})


def test_what_others_have_written_has_a_sender() -> None:
    for kind in CHAT:
        assert Notice(kind, ("hans: hi",), {"from": "hans", "text": "hi"}).sender == "hans"
    assert notice(Kind.INFO, "hi").sender == ""


# -- The documentation of what programs see ----------------------------------------------

SCRIPTING = (Path(__file__).parents[2] / "docs" / "scripting.md").read_text()
SOURCES = [Path(render.__file__), Path(files_render.__file__)]


def _table(heading: str) -> list[list[str]]:
    """The rows of a table, by what stands in its first line."""
    lines = SCRIPTING.splitlines()
    start = lines.index(heading) + 2
    rows = takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_event_is_documented_with_its_fields() -> None:
    rows = _table("| event | fields | meaning |")
    documented = {
        event.strip("`"): tuple(re.findall(r"`(\w+)`", fields)) for event, fields, _ in rows
    }
    assert documented == {kind.value: kind.fields for kind in Kind}


def test_every_code_of_the_client_is_documented() -> None:
    codes = {
        code
        for source in SOURCES
        for code in re.findall(r'\berror\(\s*"(\w+)"', source.read_text())
    }
    rows = _table("| code | meaning |")
    assert {code for cell, _ in rows for code in re.findall(r"`(\w+)`", cell)} == codes
