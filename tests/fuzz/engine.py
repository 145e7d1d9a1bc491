"""The fuzzer's process: atheris around one target. Arguments: the target, then libFuzzer's own."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    target = sys.argv.pop(1)
    with atheris.instrument_imports(include=["trio_chat"]):
        module = importlib.import_module(f"tests.fuzz.targets.{target}")
    atheris.Setup(sys.argv, module.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
