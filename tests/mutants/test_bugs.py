"""That the deliberate bugs still fit the program; ``make mutants`` is what hunts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .__main__ import ROOT, apply
from .bugs import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_applies_and_is_still_a_program(bug: Bug, tmp_path: Path) -> None:
    path = tmp_path / "trio_chat" / bug.file
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / "trio_chat" / bug.file).read_text())
    assert apply(bug, tmp_path) is None
    compile(path.read_text(), bug.file, "exec")
    assert apply(bug, tmp_path) is not None or bug.old in bug.new


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 10
