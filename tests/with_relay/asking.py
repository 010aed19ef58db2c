"""The ways of asking a relay, and what each of them makes of a reply: this SDK, blocking and async, and curl."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acytoo_sdk import AcytooError, APIStatusError, AsyncClient, Client, StreamInterruptedError


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes:
        ending: "whole", "broken", or the status that there was instead of a reply.
        text: of the reply, as far as it came.
        message: of the error.
        retry_after: seconds; None where none are named.
    """

    ending: str
    text: str = ""
    message: str = ""
    retry_after: float | None = None


def _nothing() -> None:
    pass


def ask_blocking(url: str, prompt: str, model: str, *, after_first: Callable[[], None] = _nothing) -> Outcome:
    """Asks with `Client`; `after_first` is called when the first text is there."""
    pieces = []
    with Client(url, model=model, temperature=0, retry=1) as client:
        stream = client.stream(prompt)
        try:
            for piece in stream:
                pieces.append(piece)
                if len(pieces) == 1:
                    after_first()
        except AcytooError as error:
            return _failed(error, "".join(pieces))
        assert stream.whole
    return Outcome("whole", "".join(pieces))


def ask_async(url: str, prompt: str, model: str, *, after_first: Callable[[], None] = _nothing) -> Outcome:
    """Asks with `AsyncClient`."""

    async def main() -> Outcome:
        pieces = []
        async with AsyncClient(url, model=model, temperature=0, retry=1) as client:
            stream = client.stream(prompt)
            try:
                async for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == 1:
                        await asyncio.to_thread(after_first)
            except AcytooError as error:
                return _failed(error, "".join(pieces))
            assert stream.whole
        return Outcome("whole", "".join(pieces))

    return asyncio.run(main())


def _failed(error: AcytooError, text: str) -> Outcome:
    assert error.partial_text == text, (error.partial_text, text)
    if isinstance(error, APIStatusError):
        return Outcome(str(error.status_code), text, str(error), error.retry_after)
    assert isinstance(error, StreamInterruptedError), repr(error)
    return Outcome("broken", text, str(error))


def ask_curl(url: str, prompt: str, model: str, *, after_first: Callable[[], None] = _nothing) -> Outcome:
    """Asks with curl, whose exit status 18 is a transfer that ended before its end."""
    question = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0})
    with tempfile.TemporaryDirectory() as folder:
        command = ["curl", "-sS", "--no-buffer", "--noproxy", "*", "--max-time", "120", "--dump-header", "head"]
        process = subprocess.Popen(
            [*command, "--data-binary", "@-", f"{url}/api/completions"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(question.encode())
        process.stdin.close()
        process.stdin = None
        body = os.read(process.stdout.fileno(), 65536)
        head = Path(folder, "head").read_text("ascii")
        status = head.split()[1]
        if body and status == "200":
            after_first()
        rest, error = process.communicate()
    body += rest
    if status == "200":
        assert process.returncode in (0, 18), (process.returncode, error)
        assert body, "an empty reply"
        return Outcome("broken" if process.returncode else "whole", body.decode())
    assert process.returncode == 0, (process.returncode, error)
    retry_after = re.search(r"^retry-after: (\S+)", head, re.IGNORECASE | re.MULTILINE)
    message = json.loads(body)["error"]["message"]
    return Outcome(status, message=message, retry_after=float(retry_after[1]) if retry_after else None)


WAYS = {"Client": ask_blocking, "AsyncClient": ask_async, "curl": ask_curl}


def expect(said: Outcome, what: str, ending: str, *, text: str | None = None, message: str = "") -> None:
    """Judges an outcome: whether it ended in one of these ways, and as far as they are given its text and its message.

    A reply that breaks has some text and no message from the relay; one that is refused has no text.
    """
    assert said.ending in ending.split("|"), (what, ending, said)
    assert text is None or said.text == text, (what, text, said)
    assert bool(said.text) is (said.ending in ("whole", "broken")), (what, said)
    assert said.ending == "broken" or message in said.message, (what, message, said)
