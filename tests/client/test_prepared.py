from __future__ import annotations

import pytest

from trio_chat.client import render
from trio_chat.client.notice import Notice
from trio_chat.client.prepared import Answers, PreparedTerminal
from trio_chat.client.status import Status
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .scripted import ScriptedTerminal

REFUSED = wire.Error(ErrorCode.UNKNOWN_USER, "Error. Invalid user", 1)


async def test_what_is_known_is_given_once_and_then_asked_for() -> None:
    person = ScriptedTerminal()
    terminal = PreparedTerminal(person, Answers("hans", "wrong"))
    assert terminal.interactive
    person.type("yoda", "wise", "whoelse")
    assert await terminal.ask("Username: ") == "hans"
    assert await terminal.ask("Password: ", secret=True) == "wrong"
    assert person.screen == []
    assert await terminal.ask("Username: ") == "yoda"
    assert await terminal.ask("Password: ", secret=True) == "wise"
    assert person.screen == ["Username: ", "Password: "]
    assert await terminal.read_line() == "whoelse"


async def test_commands_are_entered_and_then_the_input_ends() -> None:
    person = ScriptedTerminal()
    terminal = PreparedTerminal(person, Answers("hans", "solo", ("whoelse", "help")))
    assert not terminal.interactive
    lines = [await terminal.read_line() for _ in range(4)]
    assert lines == ["whoelse", "wait", "help", None], "each when the one before is done"
    await terminal.show([render.waited()])
    assert person.notices == [], "nobody has entered that"
    assert await terminal.ask("Password: ", secret=True) == "solo"
    person.type("again")
    assert await terminal.ask("Password: ", secret=True) == "again", "there is somebody to ask"


async def test_nobody_is_asked_who_is_not_there() -> None:
    terminal = PreparedTerminal(ScriptedTerminal(interactive=False), Answers("hans", "x", ()))
    await terminal.ask("Password: ", secret=True)
    assert await terminal.ask("Password: ", secret=True) is None
    assert await terminal.read_line() is None


@pytest.mark.parametrize(
    ("notice", "refused"),
    [
        (render.render(REFUSED, wire.Message(1, "bob", "hi"))[0], True),
        (render.private_not_enabled("luke"), True),
        (render.render(wire.Ok(1), wire.Message(1, "yoda", "hi"))[0], False),
        (render.server_gone("gone"), False),
        (render.unconfirmed(1), False),
        (render.failure("The server does not answer"), False),
    ],
)
async def test_what_was_refused_is_noticed(notice: Notice, refused: bool) -> None:
    person = ScriptedTerminal()
    terminal = PreparedTerminal(person, Answers("hans", "solo", ("x",)))
    await terminal.show([notice])
    assert terminal.refused is refused
    assert person.notices == [notice]
    await terminal.show(render.render(wire.Presence("luke", True)))
    assert terminal.refused is refused


async def test_a_command_shows_only_what_matters() -> None:
    person = ScriptedTerminal()
    terminal = PreparedTerminal(person, Answers("hans", "solo", ("x",), silent=True))
    await terminal.show(
        [
            *render.render(wire.Ok(1), wire.Login(1, "hans", "solo")),
            *render.render(wire.Presence("luke", True)),
            *render.render(wire.Delivery(1, "luke", "c", 1, "hi")),
        ]
    )
    assert person.screen == ["luke: hi"]


async def test_the_status_is_passed_on() -> None:
    person = ScriptedTerminal(shows_status=True)
    terminal = PreparedTerminal(person, Answers())
    assert terminal.shows_status
    terminal.status(Status("hans"))
    assert person.statuses == [Status("hans")]
