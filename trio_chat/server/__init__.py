"""The server: the thin shell of trio around the pure core.

Its tasks, each in the nursery of the one above it::

    app ── signals              a signal asks it to stop
        ├─ hub                  owns the broker: commands in, effects out
        ├─ store_task           commits and loads, one after the other
        ├─ admin                answers the operator's commands; beside it health, which measures
        ├─ listener             accepts
        └─ connections ── one for each: reads requests; beside it the outbox's writer

They talk through bounded memory channels only, and no task but the hub knows the state of
the chat.
"""
