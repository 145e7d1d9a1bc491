"""The server's nursery tree, from its start to a graceful end."""

from __future__ import annotations

import secrets
from itertools import count
from pathlib import Path

import trio

from .. import limits
from ..core.beginning import Settings
from ..core.broker import Broker
from ..core.commands import SessionClosed, SessionOpened, Stop, session_id, session_name
from ..net.transport import Listener, Transport
from ..storage.store import Store
from .accounts import Accounts
from .admin import Admin
from .connection import Connection
from .health import Health
from .hub import Hub
from .log import Log, Record, note
from .pace import Paces
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
    alarm: Log,
    admin: Path | None = None,
    log: Log | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, then end gracefully within a bounded time.

    Reports the addresses on which it listens as its started value.

    Args:
        listener: where clients connect.
        store: what outlives the server; the caller closes it.
        accounts: who may log in.
        settings: what the operator decides.
        requests_per_second: how fast each user is read; 0 for any rate.
        stop: set it to end the server.
        alarm: takes what the operator must know, wanted or not.
        admin: where the operator's commands find it; none if they need not.
        log: takes a record of each event, if it is wanted.
        task_status: see `trio.Nursery.start`.

    Raises:
        ListenError: if it cannot listen.
        StoreError: if the store cannot be read.
    """
    paces = Paces(requests_per_second, settings.idle_seconds) if requests_per_second else None
    restored = await store.restore()
    broker = Broker(accounts.credentials.users, settings, restored, trio.current_time())
    hub = Hub(broker, log, paces)
    numbers = count(1)
    health = Health(alarm)

    async def handle(transport: Transport) -> None:
        pace = paces.for_stranger() if paces is not None else None
        connection = Connection(session_id(NODE, next(numbers)), transport, pace)
        if log is not None:
            name = session_name(connection.session)
            text = f"session {name} connected from {connection.peer}"
            log(Record("connected", {"peer": connection.peer}, session=name, text=text))
        hub.attach(connection)
        opened = SessionOpened(
            connection.session,
            client=secrets.token_hex(8),
            token=secrets.token_urlsafe(32),
            address=transport.peer_host,
            local_address=transport.local_host,
            waited=round(trio.current_time() - transport.connected_at, 3),
        )
        await hub.submit(opened)
        if not await connection.run(hub.arrivals):
            # If this were lost, the user would seem to be online.
            await hub.submit(SessionClosed(connection.session))
        hub.detach(connection)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        nursery.start_soon(run_store, store, hub.store_jobs, hub.submit, health.store, log)
        nursery.start_soon(check_passwords, hub.password_jobs, accounts, hub.submit)
        nursery.start_soon(accounts.watch, hub.submit, alarm, log)
        if admin is not None:
            nursery.start_soon(health.measure_lag)
            await nursery.start(Admin(hub, store, health).serve, admin, alarm)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                addresses = await accepting.start(listener.serve, handle, connections)
                if log is not None:
                    text = f"listening on {', '.join(addresses)}"
                    log(note("listening", text, addresses=addresses))
                task_status.started(addresses)
                await stop.wait()
                accepting.cancel_scope.cancel()
            if log is not None:
                log(note("stopping", "stopping"))
            connections.cancel_scope.deadline = trio.current_time() + limits.STOP_SECONDS_MAX
            await hub.submit(Stop())
        with trio.move_on_at(connections.cancel_scope.deadline):
            await hub.stopped.wait()
        nursery.cancel_scope.cancel()
    if log is not None:
        is_saved = hub.stopped.is_set()
        text = "stopped" if is_saved else "stopped before everything was saved"
        log(note("stopped", text, everything_saved=is_saved))
