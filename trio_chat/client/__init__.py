"""The client: what a person types becomes requests, what the server says becomes lines.

`grammar` and `render` are pure: text to requests, and messages to text. `connection` speaks
the protocol, `session` makes one conversation of several connections and `reconnect` says when
to try the next one; `shown` remembers which messages were on the screen, `terminal` is
the interface to the person with the implementations `console` (prompt_toolkit) and
`plain` (pipes and files). `chat` is the nursery tree that joins them, from login to
logout; `app` connects and opens the terminal, `cli` is the program.
"""
