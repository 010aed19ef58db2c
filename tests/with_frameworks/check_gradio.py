"""Gradio's recipe, asked by Gradio's own client: streamed, its history, errors, and a job that is cancelled."""

from __future__ import annotations

import functools
import os
import time
from typing import Any

import gradio as gr
from gradio_client import Client as GradioClient
from recipes import KEY, PIECES, TEXT, asked, play, served

from acytoo_sdk.testing import Fault

GROWING = ["".join(PIECES[: length + 1]) for length in range(len(PIECES))]


def check(url: str, server: Any) -> None:
    client = GradioClient(url, verbose=False)
    ask = functools.partial(client.submit, api_name="/reply")
    assert list(ask("one"))[-1] == TEXT
    job = ask("two")
    assert [*dict.fromkeys(job)] == GROWING
    for sentence in ("The reply broke off", "HTTP 401 Unauthorized: no ***"):
        error = str(ask("three").exception(20))
        assert sentence in error, error
        assert KEY not in error
    turn = ["one", TEXT, "two", TEXT]
    assert asked(server) == [["one"], [*turn[:2], "two"], [*turn, "three"], [*turn, "three", PIECES[0], "three"]]
    job = ask("four")
    wait_for(lambda: job.outputs())
    assert server.open_connections == 1
    job.cancel()
    wait_for(lambda: server.open_connections == 0)


def check_history_of_page(names: dict[str, Any], server: Any) -> None:
    """The page's history has another form than the one of the client."""
    chatbot = gr.Chatbot()
    history = chatbot.preprocess(chatbot.postprocess([{"role": "user", "content": "Hi"}]))
    assert history[0]["content"] != "Hi"
    assert names["text_of"](history[0]["content"]) == names["text_of"]("Hi") == "Hi"


def wait_for(predicate: Any) -> None:
    due = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < due
        time.sleep(0.01)


if __name__ == "__main__":
    os.environ.update(GRADIO_SERVER_NAME="127.0.0.1")
    launch = gr.ChatInterface.launch
    launched: list[str] = []

    def launch_beside(interface: Any, **options: Any) -> None:
        """A script would stay here."""
        launched.append(launch(interface, prevent_thread_lock=True, quiet=True, **options)[1])

    gr.ChatInterface.launch = launch_beside
    faults = [None, None, Fault.cut(after=1), Fault.status(401, body=f"no {KEY}"), Fault.stall(after=1)]
    with served(faults=faults) as server:
        names = play("gradio")
        check(launched[0], server)
        check_history_of_page(names, server)
        gr.close_all(verbose=False)
    print("Gradio: all checks passed")
