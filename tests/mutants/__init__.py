"""Does the simulation bite? Deliberate bugs, each of which it has to find.

Each mutant of `bugs` is put into a copy of the program, and the simulation runs there until it
fails. One that is not found within `bugs.SEEDS_MAX` seeds, or that does not apply any more, is an
error.

    python -m tests.mutants
"""
