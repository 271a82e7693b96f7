"""The API answers on an address, until it is told to stop."""

import math
import signal

import uvicorn
from fastapi import FastAPI

from api.listening.following import Listening
from api.server.connections import REQUEST_S, Connections, longest_backlog, most_connections
from api.server.listener import Listener, Server
from api.server.socket_listener import MAX_MESSAGE_BYTES, SocketListener
from jobs.live import LiveCalls

CUT_OFF_S = 5
"""After the grace for live calls: what is left of them is settled. Then tasks are cancelled."""


def serve(
    application: FastAPI,
    host: str,
    port: int,
    *,
    open_files: int,
    is_behind_proxy: bool,
    drain_grace_s: float,
) -> bool:
    """Answer requests until SIGTERM or Ctrl-C; return False if the server could not be started.

    Args:
        application: what answers.
        host: to listen on.
        port: to listen on.
        open_files: how many files this process may open, which bounds its connections.
        is_behind_proxy: uvicorn takes the callers' addresses from those that it knows as proxies (the
            variable FORWARDED_ALLOW_IPS).
        drain_grace_s: how long live calls may finish at the end.
    """
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        loop="uvloop",
        http=Listener,
        ws=SocketListener,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a window for each listener, to save some bytes
        log_config=None,
        access_log=False,
        server_header=False,
        # A caller could give itself another address with every guess at a key: by itself uvicorn
        # believes whoever comes from this machine.
        proxy_headers=is_behind_proxy,
        timeout_graceful_shutdown=math.ceil(drain_grace_s) + CUT_OFF_S,
        # An idle connection is worth as much as one that never asked anything.
        timeout_keep_alive=math.ceil(REQUEST_S),
        backlog=longest_backlog(open_files),
    )
    listening: Listening = application.state.listening

    async def drained() -> None:
        calls: LiveCalls | None = application.state.live
        if calls is not None:
            await calls.drain(drain_grace_s)

    connections = Connections(most_connections(open_files))
    server = Server(config, connections, listening.watcher.end, drained)
    # The server raises the signal that stopped it once more, at the end: that is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit:  # with a number of its own, which means something else to whoever started us
        return False
    return server.started
