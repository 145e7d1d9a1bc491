from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.notice import Kind
from trio_chat.errors import UsageError
from trio_chat.protocol import messages as wire

from .scene import Scene, open_scene
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


# -- Scripts: nothing keeps the next line from being read ----------------------------------------


async def test_the_clients_own_answers_keep_their_place_and_nobody_waits_for_it(
    script: Scene, autojump_clock: MockClock
) -> None:
    await script.log_in()
    script.person.type("whoelse", "whatsthetime", "block hans", "help logout", "downloads")
    whoelse = await script.server.expect(wire.WhoElse)
    await script.person.see("There were no downloads")
    assert await script.server.next() == wire.Active()
    script.server.say(wire.Users(whoelse.id, ("hans",)))
    await script.person.see("Error. Invalid command")
    block = await script.server.expect(wire.Block)
    script.server.say(wire.Ok(block.id))
    await script.person.see("Example: logout")
    assert script.person.batches[-3:-1] == [["Error. Invalid command"], ["hans is blocked"]]
    script.person.type_end()
    await script.server.dismiss()


async def test_what_waits_for_a_lost_server_is_repeated_in_order(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_scene(tmp_path, interactive=False, reconnect_seconds=60) as script:
        await script.begin()
        script.person.type("message hans 1", "whatsthetime", "message hans 2")
        await script.server.expect(wire.Message)
        script.server.transport.close()
        server = await script.comes_back()
        assert await server.next() == wire.Message(4, "hans", "1")
        await wait_all_tasks_blocked()
        server.say(wire.Ok(4))
        assert await server.next() == wire.Message(5, "hans", "2")
        await script.person.see("Error. Invalid command")
        server.say(wire.Ok(5))
        script.person.type_end()
        await server.dismiss()
    assert script.status == 0


async def test_an_answer_of_its_own_never_stands_for_one_that_did_not_come(
    script: Scene, autojump_clock: MockClock
) -> None:
    """Scripts enter a line that means nothing to learn that all before it is answered."""
    await script.log_in()
    script.person.type("message hans 1", "whatsthetime")
    await script.server.expect(wire.Message)
    await wait_all_tasks_blocked()
    script.server.transport.close()
    assert await script.end() == 1
    (line,) = script.person.screen
    assert line.endswith("1 request was not answered, so it may not have been done")


async def test_so_many_lines_wait_and_then_the_input_does(
    script: Scene, autojump_clock: MockClock
) -> None:
    await script.log_in()
    script.person.type("whoelse", *["whatsthetime"] * limits.REQUESTS_UNANSWERED_MAX, "downloads")
    whoelse = await script.server.expect(wire.WhoElse)
    await wait_all_tasks_blocked()
    assert script.person.screen == []
    script.server.say(wire.Users(whoelse.id, ()))
    await script.person.see("There were no downloads")
    script.person.type_end()
    await script.server.expect(wire.Active)
    await script.server.dismiss()


async def test_wait_is_answered_when_all_before_it_is(
    script: Scene, autojump_clock: MockClock
) -> None:
    await script.log_in()
    script.person.type("message hans 1", "wait", "whoelse")
    message = await script.server.expect(wire.Message)
    await wait_all_tasks_blocked()
    script.server.say(wire.Ok(message.id))
    assert await script.server.next() == wire.Active()
    whoelse = await script.server.expect(wire.WhoElse)
    answer = script.person.notices[-1]
    assert (answer.kind, answer.fields["command"], answer.lines) == (Kind.OK, "wait", ())
    script.server.say(wire.Users(whoelse.id, ()))
    script.person.type_end()
    await script.server.dismiss()


async def test_a_person_is_told_that_wait_is_not_for_them(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("wait", "logout")
    await scene.person.see("Error. 'wait' is for scripts; 'downloads' shows what is under way")
    await scene.server.expect(wire.Active)
    await scene.server.dismiss()


async def test_an_older_server_is_not_asked_to_unregister(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.log_in()
    scene.person.type("unregister a.bin")
    await scene.person.see(
        "Error. This server is older than 'unregister'; ask its operator to update it"
    )
    scene.person.type("logout")
    await scene.server.expect(wire.Active)
    await scene.server.dismiss()
