"""The peers: this package and the clients it is measured against, each as a function from a path to its pieces.

A peer is imported where it is made, so that one that is missing costs only its own figures. All of them post the same
request to the same server, with limits on connecting and on silence, and keep their connections.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

CONNECT, SILENCE = 5.0, 30.0
KEPT = 600.0  # seconds that a connection is kept: longer than the other contenders' turns take together
AUTHORITY = "SSL_CERT_FILE"  # the environment variable in which OpenSSL, and so aiohttp, looks for whom to trust
CROWD = 1000  # connections that a peer may have at a time
_PAYLOAD = {
    "key": "",
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "temperature": 0.5,
    "password": "",
}

Blocking = Callable[[str], Iterator[str | bytes]]
Async = Callable[[str], AsyncIterator[str | bytes]]


def acytoo(url: str) -> Blocking:
    from acytoo_sdk import Client

    clients: dict[str, Client] = {}
    first = Client(url)

    def pieces(path: str) -> Iterator[str | bytes]:
        if path not in clients:
            clients[path] = first.with_options(path=path)
        return clients[path].stream("Hi")

    return pieces


def acytoo_async(url: str) -> Async:
    from acytoo_sdk import AsyncClient

    clients: dict[str, AsyncClient] = {}
    first = AsyncClient(url, max_streams=CROWD, verify=os.environ.get(AUTHORITY, True))

    def pieces(path: str) -> AsyncIterator[str | bytes]:
        if path not in clients:
            clients[path] = first.with_options(path=path)
        return clients[path].stream("Hi")

    return pieces


def httpx(url: str) -> Blocking:
    import httpx

    client = httpx.Client(timeout=httpx.Timeout(SILENCE, connect=CONNECT), trust_env=False)

    def pieces(path: str) -> Iterator[str | bytes]:
        with client.stream("POST", url + path, json=_PAYLOAD) as response:
            yield from response.iter_text()

    return pieces


def httpx_async(url: str) -> Async:
    import httpx

    limits = httpx.Limits(
        max_connections=CROWD, max_keepalive_connections=20
    )  # its default: it takes seconds to choose from more
    client = httpx.AsyncClient(timeout=httpx.Timeout(SILENCE, connect=CONNECT), limits=limits, trust_env=False)

    async def pieces(path: str) -> AsyncIterator[str | bytes]:
        async with client.stream("POST", url + path, json=_PAYLOAD) as response:
            async for text in response.aiter_text():
                yield text

    return pieces


def aiohttp(url: str) -> Async:
    sessions: list[Any] = []  # one, made inside the loop

    def pieces(path: str) -> AsyncIterator[str | bytes]:
        if not sessions:
            sessions.append(_aiohttp_session())
        return _aiohttp_pieces(sessions[0], url + path)

    return pieces


@asynccontextmanager
async def closing_aiohttp(url: str) -> AsyncIterator[Async]:
    """The same, to be entered inside the loop, and closed."""
    async with _aiohttp_session() as session:
        yield lambda path: _aiohttp_pieces(session, url + path)


def _aiohttp_session() -> Any:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=CROWD, keepalive_timeout=KEPT))


async def _aiohttp_pieces(session: Any, url: str) -> AsyncIterator[str | bytes]:
    async with session.post(url, json=_PAYLOAD) as response:
        async for data, _ in response.content.iter_chunks():
            yield data


def openai_async(url: str) -> Async:
    import openai

    clients: dict[str, openai.AsyncOpenAI] = {}

    async def pieces(path: str) -> AsyncIterator[str | bytes]:
        if path not in clients:
            clients[path] = openai.AsyncOpenAI(api_key="k", base_url=url + path)
        events = await clients[path].chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        async for event in events:
            yield event.choices[0].delta.content or ""

    return pieces


def requests(url: str) -> Blocking:
    """Bare requests, as it would be used at best: immediate, though only for chunks that arrive whole."""
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CROWD))

    def pieces(path: str) -> Iterator[str | bytes]:
        with session.post(url + path, json=_PAYLOAD, stream=True, timeout=(CONNECT, SILENCE)) as response:
            yield from response.iter_content(None)

    return pieces


def read1(url: str) -> Blocking:
    """Bare requests, and urllib3's `read1`: immediate in every framing."""
    import requests

    session = requests.Session()

    def pieces(path: str) -> Iterator[str | bytes]:
        with session.post(url + path, json=_PAYLOAD, stream=True, timeout=(CONNECT, SILENCE)) as response:
            while data := response.raw.read1(65536):
                yield data

    return pieces


def bare_socket(url: str) -> Blocking:
    """Nothing but receives: how fast the server is. Framing is handed out as it is."""
    host, _, port = url.removeprefix("http://").partition(":")

    def pieces(path: str) -> Iterator[str | bytes]:
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"POST %b HTTP/1.1\r\ncontent-length: 0\r\n\r\n" % path.encode())
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data = sock.recv(65536)
                yield data

    return pieces


BLOCKING: dict[str, Callable[[str], Blocking]] = {
    "acytoo": acytoo,
    "httpx": httpx,
    "requests": requests,
    "read1": read1,
    "socket": bare_socket,
}
ASYNC: dict[str, Callable[[str], Async]] = {
    "acytoo async": acytoo_async,
    "httpx async": httpx_async,
    "aiohttp": aiohttp,
    "openai": openai_async,
}
TRIO: dict[str, Callable[[str], Async]] = {"acytoo async trio": acytoo_async}
