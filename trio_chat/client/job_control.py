"""Ctrl-Z and ``fg``: a client that is stopped leaves the terminal to others, and takes it back."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import trio

from ..tty import Tty

Step = Callable[[], Awaitable[None]]


async def follow_job_control(tty: Tty, put_away: Step, bring_back: Step) -> None:
    """Stop and go on as the shell says.

    Args:
        tty: the terminal, whose modes are as before while this process is stopped.
        put_away: makes room for others; what is then on the screen stays there.
        bring_back: shows again what stood there. It may be called twice in a row, and without
            `put_away`, since SIGSTOP gives no time for that.
    """
    numbers = {signal.SIGCONT}
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:  # as by a shell without jobs
        numbers.add(signal.SIGTSTP)
    with trio.open_signal_receiver(*numbers) as signals:
        async for number in signals:
            if number == signal.SIGTSTP:
                await put_away()
                tty.stop()
            else:
                tty.resume()
            await bring_back()
