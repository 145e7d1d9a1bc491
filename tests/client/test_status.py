from __future__ import annotations

from trio_chat.client.status import Board, Line, Status


def test_the_terminal_gets_what_has_changed_and_nothing_twice() -> None:
    shown: list[Status] = []
    board = Board(shown.append)
    board.update(user="hans", line=Line.ENCRYPTED)
    board.update(user="hans")
    board.update(online=("yoda",))
    board.update(line=Line.GONE, online=None)
    assert shown == [
        Status("hans", Line.ENCRYPTED),
        Status("hans", Line.ENCRYPTED, ("yoda",)),
        Status("hans", Line.GONE),
    ]
    assert board.status == shown[-1]
