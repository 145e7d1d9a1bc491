"""Files: what this client serves to others, and what it fetches from them (section 3.5).

`swarm` decides; here is what it takes to carry that out. `shelf` knows which files are served
and where they lie, `disk` reads, writes and verifies them, `serving` answers those who fetch,
`source` is a connection to one who serves, `fetch` brings one file from its sources, and
`transfers` does what the person asks for.
"""
