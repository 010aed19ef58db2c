"""FastAPI's recipe, behind uvicorn, asked over raw sockets; its functions under bare Starlette, too."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from recipes import KEY, PIECES, asked, play, served
from starlette.applications import Starlette
from starlette.routing import Route

from acytoo_sdk import AcytooError
from acytoo_sdk.testing import FakeServer, Fault, Gate

MESSAGES = [{"role": "user", "content": "Hi"}]
END = b"0\r\n\r\n"


@contextlib.contextmanager
def running(app: Any) -> Iterator[int]:
    """The port of an application that runs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def wait_for(predicate: Callable[[], object]) -> None:
    due = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < due
        time.sleep(0.002)


def ask(port: int, messages: object = MESSAGES) -> socket.socket:
    body = json.dumps(messages).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST /ask HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    connection.sendall(f"{head}connection: close\r\n\r\n".encode() + body)
    return connection


def read(connection: socket.socket, until: bytes = b"nothing that comes") -> str:
    """What comes, as far as these bytes, or to the end."""
    data = b""
    while until not in data and (some := connection.recv(65536)):
        data += some
    return data.decode()


def check_passing_on(port: int, server: FakeServer) -> None:
    server.gate = gate = Gate()
    with ask(port, [*MESSAGES, {"role": "assistant", "content": "Hello"}, *MESSAGES]) as connection:
        gate.release()
        begun = read(connection, PIECES[0].encode())
        assert begun.startswith("HTTP/1.1 200"), begun
        assert "content-type: text/plain; charset=utf-8" in begun.lower()
        assert PIECES[1] not in begun
        gate.open()
        rest = read(connection)
        assert all(piece in rest for piece in PIECES[1:])
        assert rest.encode().endswith(END)
    assert asked(server) == [["Hi", "Hello", "Hi"]]
    server.gate = None


def check_refusals(port: int, server: FakeServer) -> None:
    server.requests.clear()
    for status, sentence in (("502", "HTTP 401"), ("429", "HTTP 429"), ("502", "no text")):
        with ask(port) as connection:
            said = read(connection)
        assert said.startswith(f"HTTP/1.1 {status}"), said
        assert sentence in said, said
        assert KEY not in said, said
    assert len(server.requests) == 3, "one attempt each"
    with ask(port, [{"role": "nobody", "content": "Hi"}]) as connection:
        said = read(connection)
    assert said.startswith("HTTP/1.1 422"), said
    assert "messages[0].role" in said, said


def check_breaks(port: int) -> None:
    with ask(port) as connection:
        said = read(connection)
    assert said.startswith("HTTP/1.1 200"), said
    assert PIECES[0] in said
    assert END.decode() not in said, "it ends as if it were whole"


def check_leaving(port: int, server: FakeServer) -> None:
    connections = server.open_connections
    with ask(port) as connection:
        read(connection, PIECES[0].encode())
        assert server.open_connections >= 1
        stalled = server.open_connections
    wait_for(lambda: server.open_connections < stalled)
    assert server.open_connections <= connections


FAULTS = [
    None,
    Fault.status(401, body=f"no {KEY}"),
    Fault.status(429, retry_after=100),
    Fault.status(400, body="no text"),
    Fault.cut(after=1),
]


def check(app: Any) -> None:
    with served(faults=[*FAULTS, Fault.stall(after=1)]) as server:
        with running(app) as port:
            check_passing_on(port, server)
            check_refusals(port, server)
            check_breaks(port)
            check_leaving(port, server)
            server.close()
            with ask(port) as connection:
                assert read(connection).startswith("HTTP/1.1 502")
        assert server.open_connections == 0


if __name__ == "__main__":
    names = play("fastapi")
    check(names["app"])

    async def ask_bare(request: Any) -> Any:
        return await names["ask"](request, await request.json())

    routes = [Route("/ask", ask_bare, methods=["POST"])]
    handlers = {AcytooError: names["refuse"]}
    check(Starlette(routes=routes, lifespan=names["lifespan"], exception_handlers=handlers))
    print("FastAPI: all checks passed")
