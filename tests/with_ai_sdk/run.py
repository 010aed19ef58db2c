"""Proves `payload="ai-sdk"` and `"prompt"` against the AI SDK itself: `python tests/with_ai_sdk/run.py [FOLDER]`.

Installs today's `ai` from npm in FOLDER (or in a temporary one), and talks to endpoints made with it: it validates our
UI messages, and its replies come piece by piece, blocking, on asyncio and on trio. Needs node and npm, and this package
with trio; takes a minute, so no part of the normal tests. The check itself connects to nothing but this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.request import Request, urlopen

import anyio

from acytoo_sdk import AsyncClient, BadRequestError, Client, Message

HERE = Path(__file__).resolve().parent
PIECES = ["При", "вет", ", как ", "дела?"]
TURNS: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Привет"},
    {"role": "assistant", "content": "Привет! 👋"},
    {"role": "user", "content": "Как дела?\n\u2028\0"},
]
# What the SDK tells a model of them.
PROMPT = [
    {"role": "system", "content": "Be brief."},
    *({"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS[1:]),
]


class Server:
    """The endpoints, and what they say of each request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.url = self._lines.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.url

    def release(self) -> None:
        """Lets one piece out."""
        urlopen(Request(f"{self.url}/release", method="POST"), timeout=10).close()

    def seen(self) -> dict[str, Any]:
        """What the SDK made of the next request."""
        return cast("dict[str, Any]", json.loads(self._lines.readline()))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Server]:
    with subprocess.Popen(["node", "server.mjs"], cwd=folder, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield Server(process)
        finally:
            process.terminate()


def read_blocking(server: Server, messages: Any, **options: Any) -> list[str]:
    pieces = []
    with Client(server.url, **options) as client:
        stream = client.stream(messages)
        for _ in PIECES:
            server.release()
            pieces.append(next(stream))
        assert next(stream, None) is None
        assert stream.whole
    return pieces


async def read_async(server: Server, messages: Any, options: dict[str, Any]) -> list[str]:
    pieces = []
    async with AsyncClient(server.url, **options) as client:
        stream = client.stream(messages)
        for _ in PIECES:
            await anyio.to_thread.run_sync(server.release)
            pieces.append(await anext(stream))
        assert await anext(stream, None) is None
        assert stream.whole
    return pieces


def check_chat(server: Server, read: Callable[..., list[str]]) -> None:
    """What `useChat` would say is valid, and is what the model is told."""
    assert read(server, TURNS, path="/api/chat", payload="ai-sdk") == PIECES
    seen = server.seen()
    assert seen["messages"] == seen["body"]["messages"]
    assert [message["role"] for message in seen["messages"]] == [turn["role"] for turn in TURNS]
    assert seen["prompt"] == PROMPT, seen["prompt"]


def check_completion(server: Server, read: Callable[..., list[str]]) -> None:
    """What `useCompletion` would say is what the model is told."""
    assert read(server, "Как дела?", path="/api/completion", payload="prompt") == PIECES
    seen = server.seen()
    assert seen["body"] == {"prompt": "Как дела?"}
    assert seen["prompt"] == [{"role": "user", "content": [{"type": "text", "text": "Как дела?"}]}], seen["prompt"]


def check_refusal(server: Server) -> None:
    """The SDK does look: the wire's own messages are none of its own."""
    said = "nothing"
    with Client(server.url, path="/api/chat") as client, contextlib.suppress(BadRequestError):
        said = client.complete("Hi")
    assert said == "nothing", "validateUIMessages took messages of the wire's own format"


def check_conversation(server: Server) -> None:
    """A turn keeps its id while the conversation grows, and no two turns share one."""
    with Client(server.url, path="/api/chat", payload="ai-sdk") as client:
        conversation, ids = client.conversation(system="Be brief."), list[str]()
        for _ in range(2):
            for _ in PIECES:
                server.release()
            assert conversation.ask("Как дела?") == "".join(PIECES)
            now = [message["id"] for message in server.seen()["messages"]]
            assert now[: len(ids)] == ids
            assert len(set(now)) == len(now)
            ids = now


def main(folder: Path) -> None:
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "ai"], cwd=folder, check=True)
    (folder / "server.mjs").write_text((HERE / "server.mjs").read_text("utf-8"), "utf-8")
    version = json.loads((folder / "node_modules/ai/package.json").read_text("utf-8"))["version"]

    def on(loop: str) -> Callable[..., list[str]]:
        return lambda server, messages, **options: anyio.run(read_async, server, messages, options, backend=loop)

    with served(folder) as server:
        for read in (read_blocking, on("asyncio"), on("trio")):
            check_chat(server, read)
            check_completion(server, read)
        check_refusal(server)
        check_conversation(server)
    print(f"ai {version} takes what is sent, and its replies come piece by piece")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what is installed, for the next run")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
