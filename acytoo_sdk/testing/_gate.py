"""The gate: a test lets the pieces of a reply go one by one."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable


class Gate:
    """Holds the pieces of replies back until the test lets them go, so that no test has to sleep.

    Pass it to `FakeServer(gate=...)`; one gate may serve several servers. Its methods may be called from any thread. A
    client that leaves, and a server that closes, do not wait for it.

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
        self._wakers: set[socket.socket] = set()  # one for each reply that stands here

    @property
    def waiting(self) -> int:
        """How many replies wait at the gate for a piece that was not released yet."""
        with self._changed:
            return 0 if self._is_open else max(0, len(self._wakers) - self._permits)

    def release(self, n: int = 1) -> None:
        """Lets some more pieces pass, now or when they come.

        Args:
            n: how many, of all replies together.
        """
        with self._changed:
            self._permits += n
            self._wake()

    def open(self) -> None:
        """Lets every piece pass from now on; a gate cannot be closed again."""
        with self._changed:
            self._is_open = True
            self._wake()

    def wait_until_waiting(self, timeout: float = 5.0) -> None:
        """Blocks until a reply waits at the gate; all that comes before the piece it waits for is sent then.

        Args:
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: no reply came to the gate in that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.waiting, timeout):
                raise TimeoutError(f"no reply came to the gate within {timeout:g} s")

    def _wake(self) -> None:
        for waker in self._wakers:
            with contextlib.suppress(BlockingIOError):  # full of bytes that nobody has read yet
                waker.send(b"!")

    def _admits(self, waker: socket.socket | None = None) -> bool:
        with self._changed:
            if not self._is_open:
                if not self._permits:
                    return False
                self._permits -= 1
            self._wakers -= {waker}
            return True


def pass_through(gate: Gate, client: socket.socket, listen: Callable[[], None]) -> None:
    """Waits to be let through; `listen` is called when `client` has sent something, and raises at its end."""
    if gate._admits():
        return
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    with woken, waker, selectors.DefaultSelector() as either:
        either.register(client, selectors.EVENT_READ)
        either.register(woken, selectors.EVENT_READ)
        with gate._changed:
            gate._wakers.add(waker)
            gate._changed.notify_all()
        try:
            while not gate._admits(waker):
                for key, _ in either.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                    else:
                        listen()
        finally:
            with gate._changed:
                gate._wakers.discard(waker)
