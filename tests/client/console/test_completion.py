from __future__ import annotations

from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.client.console.completion import Completion, complete
from trio_chat.client.files import render
from trio_chat.client.status import Status

STATUS = Status(
    "hans",
    online=("yoda", "luke"),
    known=("leia", "yoda"),
    files=("hoth.pdf", "death star.pdf"),
    transfers=(render.progress("endor.pdf", 1, 1, 0.0, 0), render.reading("Nabuu", 0.5)),
)


def whole(insert: str) -> Completion:
    return Completion(insert, is_whole=True)


@pytest.mark.parametrize(
    ("line", "completion"),
    [
        ("mes", whole("sage ")),
        ("  mes", whole("sage ")),
        ("sea", Completion("rch")),
        ("search", Completion("", ("searchFile", "searchChunk"))),
        ("whoelse", Completion("", ("whoelse", "whoelsesince"))),
        ("xyz", Completion()),
        ("help dow", Completion("nload")),
        ("help mes", whole("sage")),
        ("help message ", Completion()),
        ("message y", whole("oda ")),
        ("message l", Completion("", ("luke", "leia"))),
        ("message  lu", whole("ke ")),
        ("message ", Completion("", ("yoda", "luke", "leia"))),
        ("message yoda hello lei", whole("a")),
        ("message yoda ", Completion()),
        ("broadcast hi yo", whole("da")),
        ("private lu", whole("ke ")),
        ("private luke download ho", whole("th.pdf")),
        ("block le", whole("ia ")),
        ("whoelsesince ", Completion()),
        ("whoelse ", Completion()),
        ("nonsense y", Completion()),
        ("searchFile h", whole("oth.pdf")),
        ("download ", Completion("", ("hoth.pdf", "death star.pdf"))),
        ("download death s", whole("tar.pdf")),
        ('download "death s', whole('tar.pdf"')),
        ("cancel e", whole("ndor.pdf")),
        ("cancel N", Completion()),
    ],
)
def test_what_can_stand_there(line: str, completion: Completion) -> None:
    assert complete(line, STATUS) == completion


def test_as_many_names_as_can_be_read() -> None:
    status = Status("hans", online=tuple(f"u{number}" for number in range(1000)))
    assert len(complete("message u", status).choices) == limits.COMPLETIONS_MAX


# -- Files on disk -------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "maps").mkdir()
    for name in ("maps/hoth.pdf", "maps/endor map.pdf", ".hidden", "readme"):
        (tmp_path / name).touch()
    (tmp_path / "maps" / "ev\x1b[2Jil").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "completion"),
    [
        ("register ma", whole("ps/")),
        ("register ~/ma", whole("ps/")),
        ("register maps/", Completion("", ("endor map.pdf", "hoth.pdf"))),
        ("register maps/endor m", whole("ap.pdf")),
        ("register 'maps/end", whole("or map.pdf'")),
        ('register "ma', whole("ps/")),
        ("register ", Completion("", ("maps/", "readme"))),
        ("register .", whole("hidden")),
        ("register nowhere/x", Completion()),
        ("register ~nobody-of-this-name/x", Completion()),
        ("register \0", Completion()),
    ],
)
def test_paths(home: Path, line: str, completion: Completion) -> None:
    assert complete(line, STATUS) == completion


def test_an_absolute_path(home: Path) -> None:
    assert complete(f"register {home}/maps/ho", STATUS) == whole("th.pdf")
