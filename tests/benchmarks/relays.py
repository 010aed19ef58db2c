"""The relays: this package's server, and the smallest that does its work, each a process between server and client.

`python -m tests.benchmarks.relays UPSTREAM` runs the small one: it knows nothing of failures, limits and access.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from . import peers
from .streams import Figures, Process, streams_async

RELAYS = {
    "acytoo serve": ("-m", "acytoo_sdk", "serve", "--port", "0", "--upstream"),
    "aiohttp relay": ("-m", __name__),
}


async def relayed(relay: str, url: str, path: str, number: int) -> Figures:
    """Reads replies through a relay, many at a time; the figures are those of the relay's process.

    Args:
        relay: a name in `RELAYS`.
        url: of the server behind it.
        path: what the relay posts to there, but for the last two parts.
        number: how many replies.
    """
    with _running(relay, url + path) as (process, relay_url):
        async with peers.closing_aiohttp(relay_url) as pieces:
            return await streams_async(pieces, "/api/completions", number, process=Process(process.pid))


@contextmanager
def _running(relay: str, upstream: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, *RELAYS[relay], upstream]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def _serve(upstream: str) -> None:
    import asyncio

    import aiohttp
    from aiohttp import web

    async def relay(request: web.Request) -> web.StreamResponse:
        question = await request.json()
        body = {"model": question["model"], "messages": question["messages"], "stream": True}
        response = web.StreamResponse(headers={"content-type": "text/plain; charset=utf-8"})
        async with request.app[session].post(f"{upstream}/chat/completions", json=body) as reply:
            await response.prepare(request)
            async for text in _texts(reply.content):
                await response.write(text.encode())
        await response.write_eof()
        return response

    async def _texts(content: aiohttp.StreamReader) -> AsyncIterator[str]:
        rest = b""
        async for data in content.iter_any():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                if event != b"data: [DONE]":
                    delta = json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]
                    if text := delta.get("content"):
                        yield text

    async def run() -> None:
        app[session] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    session = web.AppKey("session", aiohttp.ClientSession)
    app = web.Application()
    app.router.add_post("/api/completions", relay)
    from .server import allow_many_sockets

    allow_many_sockets()
    asyncio.run(run())


if __name__ == "__main__":
    _serve(sys.argv[1])
