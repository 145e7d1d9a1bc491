"""The broker's state machine: commands in, effects out.

Rules of this package: no I/O, no clock, no randomness, no trio; time is the parameter
``now`` (monotonic seconds) and everything else comes in as a command. The same commands
with the same times give the same effects, which is what tests, simulation and, later, a
replicated log rest on. No effect depends on the order of a set.

`broker` dispatches; each piece of state has one owner beside it: `sessions` (connections
and their phases), `lockouts`, `presence`, `blocks`, `mailboxes` (what waits for whom),
`journal` (what waits for the disk) and `repetitions` (what was sent before).
"""
