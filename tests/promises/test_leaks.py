"""Ten thousand calls of every kind leave nothing behind: no socket, thread or descriptor, and no memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each call ends in another way; so do those of the async client, which run beside each other.
SCRIPT = '''
import collections, faulthandler, gc, os, socket, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import anyio
from acytoo_sdk import AcytooError, AsyncClient, Client, Timeout
from acytoo_sdk.testing import FakeServer, Fault

faulthandler.dump_traceback_later(100, exit=True)
PIECES = ["Hel", "lo ", "you"]
FAULTS = [None, Fault.cut(after=1), Fault.drop(), Fault.status(503), Fault.empty(), Fault.reset(after=1),
          Fault.stall(after=1), Fault.no_head(), Fault.html_page(), Fault.json_error()]
SHORT = Timeout(connect=5, first_byte=0.05, idle=0.05, total=20)

with socket.create_server(("127.0.0.1", 0)) as closed:
    NOBODY = f"http://127.0.0.1:{closed.getsockname()[1]}"

class Holder:
    """Keeps a stream, and is part of a cycle."""
    def __init__(self, stream):
        self.stream, self.itself = stream, self

def one(number, client, refused):
    kind = number % 7
    try:
        if kind == 0:
            refused.complete("Hi")
        elif kind == 1:
            Holder(client.stream("Hi"))
        elif kind == 2:
            stream = client.stream("Hi")
            next(stream)
            stream.cancel()
        elif kind == 3:
            for piece in client.stream("Hi"):
                break
        elif kind == 4:
            holder = Holder(client.stream("Hi"))
            next(holder.stream)
        else:
            client.complete("Hi")
    except AcytooError:
        pass

async def one_async(number, client, refused):
    kind = number % 7
    try:
        if kind == 0:
            await refused.complete("Hi")
        elif kind == 1:
            Holder(client.stream("Hi"))
        elif kind == 2:
            stream = client.stream("Hi")
            await anext(stream)
            stream.cancel()
        elif kind == 3:
            async for piece in client.stream("Hi"):
                break
        elif kind == 4:
            holder = Holder(client.stream("Hi"))
            await anext(holder.stream)
        elif kind == 5:
            with anyio.move_on_after(0.01):
                await client.complete("Hi")
        else:
            await client.complete("Hi")
    except AcytooError:
        pass

faults = (FAULTS[number % len(FAULTS)] for number in range(10**9))
server = FakeServer(PIECES, pause=0, faults=faults).start()
client, refused = Client(server.url, timeout=SHORT, retry=1), Client(NOBODY, retry=1)
async_client, async_refused = AsyncClient(server.url, timeout=SHORT, retry=1), AsyncClient(NOBODY, retry=1)

def run(calls):
    with ThreadPoolExecutor(16) as pool:
        collections.deque(pool.map(lambda number: one(number, client, refused), range(calls // 2)), maxlen=0)

    async def main():
        async def some(first):
            for number in range(first, calls // 2, 16):
                await one_async(number, async_client, async_refused)

        async with anyio.create_task_group() as tasks:
            for first in range(16):
                tasks.start_soon(some, first)

    anyio.run(main)
    gc.collect()
    server.requests.clear()

def left():
    """How many threads and descriptors there are."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if thread.name != "FakeServer"]
    return len(threads), len(os.listdir("/proc/self/fd"))

def measured(calls, expected=None):
    """How many threads, descriptors and blocks of memory there are after so many calls, once all has settled."""
    run(calls)
    for one_client in (client, async_client):
        for transport in one_client._pool._shared.transports:
            transport.close()  # the idle connections
    deadline = time.monotonic() + 10
    while (now := left()) != expected and time.monotonic() < deadline:
        server.wait_until(lambda: not server.open_connections)
        time.sleep(0.05)
        if expected is None:
            expected = left()
    return *now, sys.getallocatedblocks()

measured(2000)
*before, blocks = measured(2000)
*after, more = measured(10_000, tuple(before))
print(before, after, blocks, more - blocks)
assert before == after, (before, after)
assert more - blocks < 5000, more - blocks
'''


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux shows")
@pytest.mark.timeout(150)
def test_ten_thousand_calls_of_every_kind_leave_nothing_behind() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it keeps much
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env=bare,
    )
    assert done.returncode == 0, done.stderr + done.stdout
