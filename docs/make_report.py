"""Makes report.pdf of report.md. See `make report`.

It needs packages of its own, which .lock/requirements-report.txt names.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from fpdf import FPDF, FontFace, TextStyle
from markdown_it import MarkdownIt

SOURCE = Path(__file__).with_name("report.md")
TARGET = SOURCE.with_suffix(".pdf")

PAGES_MAX = 3
"""What the assignment allows (section 5)."""

# Cells can hold text only.
_CELL = re.compile(r"<td>.*?</td>")
_TAG = re.compile(r"<[^>]*>")

MARGIN_MILLIMETRES = 18
STYLES = {
    "h1": TextStyle(font_family="Helvetica", font_style="B", font_size_pt=15, b_margin=1),
    "h2": TextStyle(font_family="Helvetica", font_style="B", font_size_pt=11, t_margin=2),
    "p": TextStyle(font_size_pt=10, b_margin=0.6),
    "li": TextStyle(font_size_pt=10, l_margin=3),
    "pre": TextStyle(font_family="Courier", font_size_pt=8.6, t_margin=1, l_margin=4),
    "code": FontFace(family="Courier", size_pt=9.4),
}


def main() -> int:
    """Make it; return 1 if it has become too long."""
    html = MarkdownIt().enable("table").render(SOURCE.read_text(encoding="utf-8"))
    html = _CELL.sub(lambda cell: _TAG.sub("", cell[0]).join(("<td>", "</td>")), html)
    pdf = FPDF(format="A4")
    pdf.set_margin(MARGIN_MILLIMETRES)
    pdf.set_title("trio-chat: report")
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    pdf.write_html(html, tag_styles=STYLES)
    if pdf.pages_count > PAGES_MAX:
        sys.stderr.write(f"{SOURCE.name} makes {pdf.pages_count} pages; {PAGES_MAX} are allowed\n")
        return 1
    pdf.output(str(TARGET))
    sys.stdout.write(f"{TARGET.name}: {pdf.pages_count} pages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
