"""The wire protocol: which messages there are, and how they become bytes.

Pure: no I/O, clock or randomness. `messages` says what the two sides may tell each
other, `framing` cuts a stream of bytes into them. ``docs/protocol.md`` is its manual.
"""
