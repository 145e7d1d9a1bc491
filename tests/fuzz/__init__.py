"""Hostile input, made up by a program: nothing but clean protocol errors may come out.

Each module in `targets` has a function ``one_input(data)``: it plays out what the bytes stand
for against one part of the program, and fails if that part raises what it should not, or breaks
its promises. Three ways lead there:

- ``python -m tests.fuzz TARGET --seconds N`` (`make fuzz`): atheris mutates inputs, and keeps
  those that reach new code. What fails is kept in a file, and how to replay it is printed.
- ``python -m tests.fuzz TARGET --replay FILE``: one of these files, without atheris.
- `test_targets`, in `make check`: the files in ``corpus``, and random bytes of hypothesis.
"""
