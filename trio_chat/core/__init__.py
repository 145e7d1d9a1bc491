"""The broker's state machine: commands in, effects out.

Rules of this package: no I/O, no clock, no randomness, no trio; time is the parameter
``now`` (monotonic seconds) and everything else comes in as a command. The same commands
with the same times give the same effects, which is what tests, simulation and, later, a
replicated log rest on. No effect depends on the order of a set.

`broker` dispatches, and decides who may do what; `gatekeeper` lets sessions in and out,
`post_office` brings messages from their sender to their receiver, `registry` tells who holds which
file, and `operator` does what the operator orders (`orders`). Each piece of state has one owner
beside them: `sessions` (connections and their phases), `lockouts` (wrong passwords), `attempts`
(logins by address), `tokens` (for those who come back), `presence`, `blocks`, `mailboxes` (what
waits for whom), `journal` (what waits for the disk), `repetitions` (what was sent before),
`catalogue` (files, and who holds them) and `outgoing` (what the command that is being handled has
to say). `shares` keeps one user from using up what is for all.
"""
