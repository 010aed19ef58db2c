"""LlamaIndex's recipe: by itself and in a chat engine, whose history goes along as messages."""

from __future__ import annotations

import time

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from recipes import KEY, PIECES, TEXT, asked, failing, play, served

from acytoo_sdk import AuthenticationError, StreamInterruptedError
from acytoo_sdk.testing import Fault


def check() -> None:
    faults = [*[None] * 6, Fault.status(401, body=f"no {KEY}"), Fault.cut(after=1), Fault.stall(after=1)]
    with served(faults=faults) as server:
        llm = play("llamaindex")["llm"]
        assert llm.complete("Hi").text == TEXT
        responses = list(llm.stream_complete("Hi"))
        assert [response.delta for response in responses] == PIECES
        assert responses[-1].text == TEXT
        chat = [ChatMessage(role="system", content="Be brief"), ChatMessage(role="user", content="Hi")]
        assert llm.chat(chat).message.content == TEXT
        assert [response.delta for response in llm.stream_chat(chat)] == PIECES
        engine = SimpleChatEngine.from_defaults(llm=llm)
        assert engine.chat("one").response == TEXT
        assert "".join(engine.stream_chat("two").response_gen) == TEXT
        assert asked(server) == [["Hi"], ["Hi"], *[["Be brief", "Hi"]] * 2, ["one"], ["one", TEXT, "two"]]
        with failing(AuthenticationError):
            llm.chat(chat)
        came = ""
        with failing(StreamInterruptedError):
            for response in llm.stream_chat(chat):
                came = response.message.content
        assert came == PIECES[0]
        stream = llm.stream_complete("Hi")
        assert next(stream).text == PIECES[0]
        stream.close()
        due = time.monotonic() + 10
        while server.open_connections:
            assert time.monotonic() < due, "left, and still read"
            time.sleep(0.01)


if __name__ == "__main__":
    check()
    print("LlamaIndex: all checks passed")
