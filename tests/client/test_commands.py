from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat.errors import UsageError
from trio_chat.protocol import messages as wire

from .scene import Scene
from .scripted import WELCOME


async def test_mistakes_and_help_are_answered_here(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.person.type("whatsthetime", "block", UsageError("Error. Too long"), "help logout")
    await scene.person.see("Error. Invalid command")
    await scene.person.see("Error. Usage: block <user>")
    await scene.person.see("Error. Too long")
    await scene.person.see("logout")
    scene.person.type("logout")
    await scene.server.expect(wire.Active)
    await scene.server.dismiss()


async def test_they_count_as_activity_at_most_once_a_second(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    for seconds in (0.0, 0.5, 0.4, 0.2, 5.0):
        await trio.sleep(seconds)
        scene.person.type("mistyped", "", "   ")
        await wait_all_tasks_blocked()
    scene.person.type_end()
    for _ in range(3):
        await scene.server.expect(wire.Active)
    await scene.server.dismiss()


async def test_empty_lines_do_nothing(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.log_in()
    scene.person.type("", "  ", "\t")
    await wait_all_tasks_blocked()
    scene.person.type("logout")
    await scene.server.dismiss()
    assert await scene.end() == 0
    assert scene.person.batches == [[WELCOME]]
    assert not any(isinstance(request, wire.Active) for request in scene.server.requests)


async def test_a_script_gets_its_answers_in_order(script: Scene, autojump_clock: MockClock) -> None:
    await script.log_in()
    script.person.type("whoelse", "whatsthetime")
    whoelse = await script.server.expect(wire.WhoElse)
    await wait_all_tasks_blocked()
    assert script.person.screen == []
    script.server.say(wire.Users(whoelse.id, ("hans",)))
    await script.person.see("Error. Invalid command")
    assert script.person.batches[-2:] == [["hans"], ["Error. Invalid command"]]
    script.person.type_end()
    await script.server.expect(wire.Active)
    await script.server.dismiss()
