"""The swarm, pure: files in pieces, their hashes, what to ask whom, and whom to serve next.

Nothing in here does I/O, knows a clock or draws lots: moments are given as monotonic
seconds, and a number given by the caller (`salt`) decides between equals.
"""
