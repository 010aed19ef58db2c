"""The gate: a test lets the pieces of a reply go one by one."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable


class Gate:
    """
    Holds pieces back until the test lets them go: order without sleeping. One gate may serve several servers.

    Example:
        >>> import urllib.request
        >>> from acytoo_sdk.testing import FakeServer
        >>> gate, body = Gate(), b'{"messages": []}'
        >>> with FakeServer(["Hel", "lo"], gate=gate) as server, urllib.request.urlopen(server.url, body) as reply:
        ...     gate.release()
        ...     print(reply.read1())
        ...     gate.open()
        ...     print(reply.read1())
        b'Hel'
        b'lo'
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._permits = 0
        self._is_open = False
        self._bells: set[socket.socket] = set()  # one for each reply that stands here

    @property
    def waiting(self) -> int:
        """How many replies stand at the gate and have not been told to go on."""
        with self._changed:
            return 0 if self._is_open else max(0, len(self._bells) - self._permits)

    def release(self, n: int = 1) -> None:
        """Let `n` more pieces pass, now or when they come."""
        with self._changed:
            self._permits += n
            self._ring()

    def open(self) -> None:
        """Let everything pass, for good."""
        with self._changed:
            self._is_open = True
            self._ring()

    def wait_until_waiting(self, timeout: float = 5.0) -> None:
        """Block until a reply stands at the gate, everything before that piece sent; `TimeoutError` if none comes."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.waiting, timeout):
                raise TimeoutError(f"no reply came to the gate within {timeout:g} s")

    def _ring(self) -> None:
        for bell in self._bells:
            with contextlib.suppress(BlockingIOError):  # full of rings nobody has heard yet
                bell.send(b"!")

    def _admits(self, bell: socket.socket | None = None) -> bool:
        with self._changed:
            if not self._is_open:
                if not self._permits:
                    return False
                self._permits -= 1
            self._bells -= {bell}
            return True

    def _pass(self, client: socket.socket, listen: Callable[[], None]) -> None:
        """Wait to be let through; `listen` is called when `client` has sent something, and raises at its end."""
        if self._admits():
            return
        ear, bell = socket.socketpair()
        bell.setblocking(False)
        with ear, bell, selectors.DefaultSelector() as either:
            either.register(client, selectors.EVENT_READ)
            either.register(ear, selectors.EVENT_READ)
            with self._changed:
                self._bells.add(bell)
                self._changed.notify_all()
            try:
                while not self._admits(bell):
                    for key, _ in either.select():
                        if key.fileobj is ear:
                            ear.recv(4096)
                        else:
                            listen()
            finally:
                with self._changed:
                    self._bells.discard(bell)
