from __future__ import annotations

import pytest
import wcwidth

from trio_chat.client.console.toolbar import toolbar
from trio_chat.client.files import render
from trio_chat.client.status import Line, Status

DOWNLOAD = render.progress("hoth.pdf", 1000, 250, 100.0, 2)
BUSY = Status(
    "hans",
    Line.ENCRYPTED,
    online=("yoda", "luke"),
    private=("luke", "vader"),
    transfers=(DOWNLOAD, render.progress("b.bin", 1000, 1000, 0.0, 1)),
)


@pytest.mark.parametrize(
    ("status", "columns", "text"),
    [
        (Status(), 80, ""),
        (Status("hans", Line.CLEAR), 80, "hans | not encrypted"),
        (Status("hans", Line.RECONNECTING, ("yoda",)), 40, "hans | reconnecting | 1 online"),
        (
            Status("hans", Line.ENCRYPTED, ()),
            80,
            "hans | TLS | nobody else online | 'help' lists the commands",
        ),
        (
            BUSY,
            200,
            "hans | TLS | 2 online | private: luke, vader | hoth.pdf [###############     ]  75%"
            " 100 bytes/s, 0:02 left, 2 peers | b.bin [                    ]   0% 0 bytes/s, 1 peer",
        ),
        (BUSY, 80, "hans | TLS | 2 online | private: luke, vader | hoth.pdf 75% | b.bin 0%"),
        (BUSY, 60, "hans | TLS | 2 online | 2 private | hoth.pdf 75% | b.bin 0%"),
        (BUSY, 50, "hans | TLS | 2 online | 2 private | 2 files 38%"),
        (BUSY, 40, "hans | 2 online | 2 private | 2 files 38"),
        (
            Status("hans", Line.ENCRYPTED, transfers=(render.reading("hoth.pdf", 0.5),)),
            80,
            "hans | TLS | Reading hoth.pdf: 50%",
        ),
    ],
)
def test_as_much_as_fits(status: Status, columns: int, text: str) -> None:
    assert toolbar(status, columns) == text


@pytest.mark.parametrize("columns", range(1, 60))
def test_it_is_never_wider_than_the_screen(columns: int) -> None:
    status = Status("你好你好", Line.ENCRYPTED, ("a",), private=("ev\x1b[2Jil",))
    text = toolbar(status, columns)
    assert wcwidth.wcswidth(text) <= columns
    assert text.isprintable()
