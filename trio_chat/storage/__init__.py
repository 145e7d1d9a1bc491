"""What must outlive the process: mailboxes, blocks and the catalogue of files.

A store decides nothing: it writes what a `Commit` says, all of it or nothing, and reads it
back. `sqlite` is the real one, `memory` its twin for tests; both pass one contract test.
"""
