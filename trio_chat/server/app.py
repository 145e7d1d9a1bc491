"""The server's nursery tree, from its start to a graceful end."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count

import trio

from .. import limits
from ..core.beginning import Settings
from ..core.broker import Broker
from ..core.commands import SessionOpened, Stop, session_id, session_name
from ..net.transport import Listener, Transport
from ..storage.store import Store
from .accounts import Accounts
from .connection import Connection
from .hub import Hub
from .pace import Pace
from .passwords import check_passwords
from .store_task import run_store

NODE = 1
"""Names this server in its session ids; there is one so far."""


async def serve(
    listener: Listener,
    store: Store,
    accounts: Accounts,
    settings: Settings,
    *,
    requests_per_second: int = limits.REQUESTS_PER_SECOND_MAX,
    stop: trio.Event,
    log: Callable[[str], None] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, then end gracefully within a bounded time.

    Reports the addresses on which it listens as its started value.

    Args:
        listener: where clients connect.
        store: what outlives the server; the caller closes it.
        accounts: who may log in.
        settings: what the operator decides.
        requests_per_second: how fast each connection is read; 0 for any rate.
        stop: set it to end the server.
        log: takes a line for each event, if it is wanted.
        task_status: see `trio.Nursery.start`.

    Raises:
        ListenError: if it cannot listen.
        StoreError: if the store cannot be read.
    """
    hub = Hub(Broker(accounts.credentials.users, settings, await store.restore()), log)
    numbers = count(1)

    async def handle(transport: Transport) -> None:
        pace = Pace(requests_per_second) if requests_per_second else None
        connection = Connection(session_id(NODE, next(numbers)), transport, pace)
        if log is not None:
            log(f"session {session_name(connection.session)} connected from {connection.peer}")
        hub.attach(connection)
        opened = SessionOpened(
            connection.session,
            client=secrets.token_hex(8),
            token=secrets.token_urlsafe(32),
            address=transport.peer_host,
            local_address=transport.local_host,
        )
        await hub.submit(opened)
        await connection.run(hub.submit)
        hub.detach(connection)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        nursery.start_soon(run_store, store, hub.store_jobs, hub.submit, log)
        nursery.start_soon(check_passwords, hub.password_jobs, accounts, hub.submit)
        nursery.start_soon(accounts.watch, hub.submit, log)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                addresses = await accepting.start(listener.serve, handle, connections)
                if log is not None:
                    log(f"listening on {', '.join(addresses)}")
                task_status.started(addresses)
                await stop.wait()
                accepting.cancel_scope.cancel()
            if log is not None:
                log("stopping")
            connections.cancel_scope.deadline = trio.current_time() + limits.STOP_SECONDS_MAX
            await hub.submit(Stop())
        with trio.move_on_at(connections.cancel_scope.deadline):
            await hub.stopped.wait()
        nursery.cancel_scope.cancel()
    if log is not None:
        log("stopped" if hub.stopped.is_set() else "stopped before everything was saved")
