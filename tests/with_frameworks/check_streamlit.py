"""Streamlit's recipe, run by its own tester; and how a stream of an async client is written there."""

from __future__ import annotations

from pathlib import Path

from recipes import KEY, PIECES, TEXT, asked, read_recipes, served
from streamlit.testing.v1 import AppTest

from acytoo_sdk.testing import Fault

ASYNC = """
import streamlit as st

from acytoo_sdk import AsyncClient

stream = AsyncClient().stream("Hi")
st.write_stream({})
"""


def shown(app: AppTest) -> list[tuple[str, str]]:
    return [(message.name, markdown.value) for message in app.chat_message for markdown in message.markdown]


def check_chat() -> None:
    script = Path("chat.py")
    script.write_text(read_recipes()["streamlit"][0], "utf-8")
    faults = [None, Fault.cut(after=1), Fault.status(401, body=f"no {KEY}")]
    with served(faults=faults) as server:
        app = AppTest.from_file(script.resolve(), default_timeout=20).run()
        turn = [("user", "one"), ("assistant", TEXT)]
        assert shown(app.chat_input[0].set_value("one").run()) == turn
        broken = app.chat_input[0].set_value("two").run()
        # What the typewriter's cursor follows, or, of a reply of one piece, not.
        assert shown(broken)[:-1] == [*turn, ("user", "two")]
        assert shown(broken)[-1][1].startswith(PIECES[0])
        assert [error.value.startswith("The reply broke off") for error in broken.error] == [True]
        refused = app.chat_input[0].set_value("three").run()
        assert [error.value for error in refused.error] == ["The server answered HTTP 401 Unauthorized: no ***"]
        assert shown(app.chat_input[0].set_value("four").run()) == [*turn, ("user", "four"), ("assistant", TEXT)]
        assert asked(server) == [["one"], *[["one", TEXT, question] for question in ("two", "three", "four")]]
        assert not app.exception


def check_async_streams() -> None:
    """Streamlit asks `inspect.isasyncgen`, which is true of Python's own async generators alone."""
    with served():
        bare = AppTest.from_string(ASYNC.format("stream"), default_timeout=20).run()
        assert ["cannot be iterated" in each.message for each in bare.exception] == [True]
        wrapped = AppTest.from_string(ASYNC.format("piece async for piece in stream"), default_timeout=20).run()
        assert not wrapped.exception
        assert [each.value for each in wrapped.markdown] == [TEXT]


if __name__ == "__main__":
    check_chat()
    check_async_streams()
    print("Streamlit: all checks passed")
