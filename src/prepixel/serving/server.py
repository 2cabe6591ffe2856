"""Run the service until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from prepixel.runtime import Predictor
from prepixel.serving.app import build_app
from prepixel.serving.service_settings import ServiceSettings

_BACKLOG = 1024
_MAX_CONNECTIONS = 2048
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    predictor: Predictor,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: ServiceSettings | None = None,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve predictions over HTTP until SIGINT or SIGTERM; requests that have begun are answered first.

    Args:
        predictor: of the network.
        host: address to listen on.
        port: to listen on; 0 for a free one.
        settings: what is allowed; None for the defaults.
        started: called with the service's address once it listens.

    Raises:
        OSError: the address cannot be listened on.
    """
    settings = settings or ServiceSettings()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed form
    listener = listen(host, port)
    address = listener.getsockname()
    config = uvicorn.Config(
        build_app(predictor, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        ws="none",
        lifespan="on",
    )
    if started is not None:
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        started(f"http://{shown}:{address[1]}")
    _Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        OSError: of the address, with its text as the file name, as messages show it.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio switches Nagle's algorithm off, which delays answers, only where the protocol is named
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere it lets two programs share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen there: {reason}", f"{host}:{port}") from error


class _Server(uvicorn.Server):
    """Uvicorn's server, which after a graceful stop by a signal ends as a success instead of dying of it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at the first signal, at once at the second."""
        loop = asyncio.get_running_loop()
        try:
            for number in _SIGNALS:
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except NotImplementedError:  # Windows
            with super().capture_signals():
                yield
            return
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
