"""The whole system by one number: real server, real clients, virtual time, network and disk.

Theory of operation: a seed decides everything. The real server (`trio_chat.server.app.serve`)
and real clients (`trio_chat.client.chat.Chat`) run in one process on trio's `MockClock`. What
surrounds them is played:

- `network`: connections that delay, cut, stall, fall silent and lie about being alive;
- `disk`: what the server has committed, which is all that it finds after a crash;
- `terminal`: the screen and the keyboard of a person;
- `peering`: the way from client to client.

`world` starts, crashes and restarts the server and the clients on them, `people` types commands and
makes things go wrong, a step at a time, and in the end mends everything and waits. `oracle` and its
parts watch from outside: what was typed, what stood on which screen, and what went over the wire
at the clients' ends. They know nothing of the program's insides, and fail as soon as it breaks a
promise. `determinism` is why the same seed gives the same run, to the byte, in another process too.

    python -m tests.simulation --seed 7 --steps 150
"""
