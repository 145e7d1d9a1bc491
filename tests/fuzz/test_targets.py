"""Every target, on the inputs that are kept, and on random ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = 40


def function_of(target: str) -> Callable[[bytes], None]:
    module = importlib.import_module(f"tests.fuzz.targets.{target}")
    function: Callable[[bytes], None] = module.one_input
    return function


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}")
def test_inputs_that_are_kept(path: Path) -> None:
    function_of(path.parent.name)(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_random_inputs(target: str) -> None:
    function = function_of(target)

    @settings(max_examples=EXAMPLES)
    @given(st.binary(min_size=8, max_size=400))
    def run(data: bytes) -> None:
        function(data)

    run()


def test_every_target_is_listed() -> None:
    modules = {path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py")}
    assert modules == set(TARGETS)
    assert {path.name for path in CORPUS.iterdir()} <= modules
