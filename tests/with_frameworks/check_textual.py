"""Textual's recipe, without a terminal: streamed, broken, ended by the next question and by leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
from recipes import PIECES, TEXT, asked, play, served
from textual.widgets import Input, Markdown

from acytoo_sdk.testing import Fault


async def check() -> None:
    stall = Fault.stall(after=1)
    with served(faults=[None, Fault.cut(after=1), stall, None, stall]) as server:
        names = play("textual")
        app = names["Chat"]()
        async with app.run_test() as pilot:

            async def ask(question: str) -> None:
                app.query_one(Input).value = question
                app.query_one(Input).focus()
                await pilot.press("enter")

            async def until(predicate: Callable[[], Any]) -> None:
                with anyio.fail_after(20):
                    while not predicate():
                        await pilot.pause(0.01)

            def shown() -> str:
                return str(app.query_one(Markdown).source)

            await ask("one")
            await until(lambda: shown() == TEXT)
            await app.workers.wait_for_complete()
            await ask("two")
            await until(lambda: app._notifications)
            assert [each.message.startswith("The reply broke off") for each in app._notifications] == [True]
            assert shown() == PIECES[0]
            await ask("three")
            await until(lambda: len(server.requests) == 3)
            await ask("four")
            await until(lambda: shown() == TEXT)
            assert server.open_connections == 1, "that of the reply that was ended"
            await ask("five")
            await until(lambda: len(server.requests) == 5 and shown() == PIECES[0])
        with anyio.fail_after(20):
            while server.open_connections:
                await anyio.sleep(0.01)
        turn = ["one", TEXT]
        assert asked(server)[:4] == [["one"], [*turn, "two"], [*turn, "three"], [*turn, "four"]]
        assert asked(server)[4] == [*turn, "four", TEXT, "five"]


if __name__ == "__main__":
    asyncio.run(check())
    print("Textual: all checks passed")
