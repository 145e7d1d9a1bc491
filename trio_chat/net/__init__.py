"""Bytes to and from the other end of a connection; knows nothing of the chat.

`transport` is the interface, `tcp` the real thing, `memory` its twin for tests and
simulation, `outbox` the bounded buffer in front of any of them.
"""
