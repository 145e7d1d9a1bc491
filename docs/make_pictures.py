"""The pictures in the README: real clients in real terminals, drawn as SVG. See `make pictures`.

A terminal emulator keeps what the clients write, as in the tests; what stands on its screen in the
end is the picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

from tests.end_to_end.stage import Stage
from tests.end_to_end.terminal import Terminal

IMAGES = Path(__file__).parent / "images"

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, MARGIN = 8.43, 18, 14, 14

DARK = {"background": "#16181d", "default": "#d8dade", "brightblack": "#7a7f8a", "red": "#e06c75"}
LIGHT = {"background": "#fbfbf8", "default": "#24262b", "brightblack": "#8a8f98", "red": "#c0392b"}


def draw(screen: pyte.Screen, theme: dict[str, str]) -> str:
    """A screen as an SVG."""
    width = screen.columns * CELL_WIDTH + 2 * MARGIN
    height = screen.lines * CELL_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-size="{FONT_SIZE}"'
        ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">',
        f'<rect width="100%" height="100%" rx="8" fill="{theme["background"]}"/>',
    ]
    for y in range(screen.lines):
        parts += _draw_row(screen, y, theme)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _draw_row(screen: pyte.Screen, y: int, theme: dict[str, str]) -> list[str]:
    row = [(x, screen.buffer[y][x]) for x in range(screen.columns)]
    parts = []
    for (colour, is_bold, is_reverse), group in groupby(
        row, key=lambda cell: (cell[1].fg, cell[1].bold, cell[1].reverse)
    ):
        cells = list(group)
        text = "".join(cell.data for _, cell in cells)
        left, top = MARGIN + cells[0][0] * CELL_WIDTH, MARGIN + y * CELL_HEIGHT
        width = len(cells) * CELL_WIDTH
        fill = theme.get(colour, f"#{colour}")
        if is_reverse:
            parts.append(_rectangle(left, top, width, fill))
            fill = theme["background"]
        if text.strip():
            weight = ' font-weight="bold"' if is_bold else ""
            parts.append(
                f'<text x="{left:.1f}" y="{top + FONT_SIZE:.1f}" fill="{fill}"{weight}'
                f' textLength="{width:.1f}" xml:space="preserve">{escape(text)}</text>'
            )
    if y == screen.cursor.y:
        left = MARGIN + screen.cursor.x * CELL_WIDTH
        parts.append(_rectangle(left, MARGIN + y * CELL_HEIGHT, 2, theme["default"]))
    return parts


def _rectangle(left: float, top: float, width: float, fill: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{CELL_HEIGHT}" fill="{fill}"/>'
    )


def chat(stage: Stage) -> Terminal:
    """An afternoon of hans: what a client looks like."""
    yoda = stage.open_pipe(*stage.client_command(), "--upload-limit", "4M")
    yoda.log_in("yoda")
    luke = stage.log_in_pipe("luke")
    luke.send("message hans Let's rock", "message hans Are you there?")
    luke.wait_until_answered()
    film = stage.directory / "hoth.pdf"
    film.write_bytes(os.urandom(60_000_000))
    yoda.send(f"register {film}")
    yoda.wait_for("Ok. hoth.pdf is registered: 60,000,000 bytes in 10 chunks of 6,000,000 bytes")
    hans = stage.open_terminal(columns=80, rows=20)
    hans.log_in("hans")
    hans.enter("mesage luke Sure")
    hans.enter("message luke Sure")
    hans.wait_for("> message luke Sure")
    _pause(stage)
    yoda.send("broadcast I have found the maps of Hoth; 'download hoth.pdf' if you want them.")
    hans.wait_for_prompt(">")
    _pause(stage)
    hans.enter("whoelse")
    hans.wait_for("luke")
    hans.enter("startprivate luke")
    hans.wait_for("Start private messaging with luke")
    luke.send("private hans Did you hear? 你好 👋")
    _pause(stage)
    hans.enter("download hoth.pdf")
    stage.watch.wait_until(lambda: "%" in hans.toolbar, lambda: hans.toolbar)
    hans.type("se\t")
    hans.type("\t")
    _pause(stage)
    hans.type("\x15message luke Su")
    stage.watch.wait_until(lambda: " 2" in hans.toolbar, lambda: hans.toolbar)
    _pause(stage)
    return hans


def narrow(stage: Stage) -> Terminal:
    """A small window that had lost the focus."""
    yoda, luke = stage.log_in_pipe("yoda"), stage.log_in_pipe("luke")
    hans = stage.open_terminal(columns=40, rows=11)
    hans.gives_name("hans")
    hans.type("solo\r")
    hans.wait_for_prompt(">")
    hans.enter("whoelse")
    _pause(stage)
    hans.type("\x1b[O")
    _pause(stage)
    yoda.send("message hans Long lines are broken between words, and go on indented.")
    luke.send("broadcast Party time")
    _pause(stage)
    return hans


def _pause(stage: Stage) -> None:
    """Let the programs come to rest."""
    stage.watch.wait_until_time(time.monotonic() + 0.7)


def main() -> int:
    """Make all pictures."""
    for name, scene, theme in (("chat", chat, DARK), ("narrow", narrow, LIGHT)):
        with tempfile.TemporaryDirectory() as directory, Stage(Path(directory)) as stage:
            stage.start_server()
            picture = draw(scene(stage)._screen, theme)
        (IMAGES / f"{name}.svg").write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
