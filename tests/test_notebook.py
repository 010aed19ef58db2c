"""Notebooks: cells run in real kernels, the way a front end runs them, and their outputs are read back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import acytoo_sdk
from acytoo_sdk import Client
from acytoo_sdk._display.output import output
from acytoo_sdk.testing import FakeServer, Fault, Gate

pytest.importorskip("IPython")
pytest.importorskip("ipykernel")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
manager = pytest.importorskip("jupyter_client.manager")

REPLY = ["# Title\n", "some ", "**bold** ", "text"]
TEXT = "".join(REPLY)
PAGE = '<div class="mathjax_ignore tex2jax_ignore"><h1>Title</h1><p>some <strong>bold</strong> text</p></div>'


def environment(folder: Path) -> dict[str, str]:
    """Of a kernel: this package can be imported, and nothing of the machine steers it."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("ACYTOO_", "PYTEST"))}
    folders = {name: str(folder) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    return {**kept, **folders, "PYTHONPATH": str(Path(acytoo_sdk.__file__).parents[1])}


class Cell:
    """A cell that runs, or has run: the messages it sent, and how it ended."""

    def __init__(self, kernel: Kernel, code: str) -> None:
        self.kernel = kernel
        self.id = kernel.client.execute(code)
        self.messages: list[dict[str, Any]] = []
        self.reply: dict[str, Any] = {}

    def until(self, ready: Callable[[], object]) -> Cell:
        """Reads messages until they are as they should be."""
        while not ready():
            message = self.kernel.client.get_iopub_msg(timeout=20)
            if message["parent_header"].get("msg_id") == self.id:
                self.messages.append(message)
        return self

    def end(self) -> Cell:
        """Reads messages up to the last one."""
        self.until(lambda: any(m["content"].get("execution_state") == "idle" for m in self.messages))
        while self.reply.get("parent_header", {}).get("msg_id") != self.id:
            self.reply = self.kernel.client.get_shell_msg(timeout=20)
        return self

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def status(self) -> str:
        return str(self.reply["content"]["status"])

    @property
    def shown(self) -> list[str]:
        """The text of the output, refresh by refresh."""
        return [content["data"]["text/plain"] for content in self.of("display_data", "update_display_data")]

    @property
    def pages(self) -> list[str]:
        """The HTML of the output, refresh by refresh."""
        return [content["data"]["text/html"] for content in self.of("display_data", "update_display_data")]

    @property
    def printed(self) -> str:
        return "".join(content["text"] for content in self.of("stream"))

    @property
    def error(self) -> str:
        """What is shown in place of a traceback, without colours."""
        (content,) = self.of("error")
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(content["traceback"]))


class Kernel:
    """A kernel in a process of its own, and a front end."""

    def __init__(self, folder: Path) -> None:
        self.manager, self.client = manager.start_new_kernel(env=environment(folder), stderr=subprocess.DEVNULL)

    def start(self, code: str) -> Cell:
        return Cell(self, code)

    def run(self, code: str) -> Cell:
        return Cell(self, code).end()

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.client.context.term()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("jupyter"))
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    """One kernel for all tests, its extension and its variables as they are at the beginning."""
    started.run("%unload_ext acytoo_sdk\n%reset -f\n%xmode Context")
    return started


@pytest.fixture
def loaded(kernel: Kernel) -> Kernel:
    assert kernel.run("%load_ext acytoo_sdk").status == "ok"
    return kernel


def execute(folder: Path, *cells: str) -> Any:
    """A notebook, executed in a kernel of its own, and read back from the file."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook,
        timeout=30,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
    )
    try:
        client.execute(env=environment(folder))
    finally:
        nbformat.write(notebook, folder / "executed.ipynb")
    return nbformat.read(folder / "executed.ipynb", as_version=4)


def outputs_of(cell: Any) -> list[tuple[str, str]]:
    return [
        (each["output_type"], each.get("text", "") or each.get("ename") or each["data"]["text/plain"])
        for each in cell["outputs"]
    ]


# What is shown, while it comes and afterwards.


def test_a_notebook_keeps_a_finished_reply_in_its_file_and_in_its_export(started: Kernel, tmp_path: Path) -> None:
    with FakeServer(REPLY) as server:
        notebook = execute(
            tmp_path,
            f"from acytoo_sdk import Client\nclient = Client({server.url!r})",
            "client.stream('Hi')",
            "_",
            "stream = client.stream('Hi')\nstream.display()\nprint('after')",
            "stream.display(raw=True)",
            "conversation = client.conversation()\nconversation.send('Hi')",
            "conversation",
            f"%load_ext acytoo_sdk\n%acytoo --config base_url={server.url}",
            "%%acytoo -o answer\nHi from {a} cell",
            "answer",
        )
    page, _ = pytest.importorskip("nbconvert").HTMLExporter().from_notebook_node(notebook)

    shown = [outputs_of(cell) for cell in notebook.cells]
    assert shown[1] == [("display_data", TEXT)]
    assert shown[2] == [("execute_result", TEXT)]
    assert shown[3] == [("display_data", TEXT), ("stream", "after\n")]
    assert notebook.cells[4]["outputs"][0]["data"] == {"text/plain": TEXT}
    assert shown[5] == [("display_data", TEXT)]
    assert shown[6] == [("execute_result", f"user: Hi\n\nassistant: {TEXT}")]
    assert shown[8] == [("display_data", TEXT)]
    assert notebook.cells[9]["outputs"][0]["data"]["text/plain"] == repr(TEXT)
    assert page.count("<strong>bold</strong>") == 6


def test_a_reply_grows_in_one_output_from_its_first_piece_to_its_last(kernel: Kernel) -> None:
    gate = Gate()
    with FakeServer(REPLY, gate=gate, pause=0) as server:
        cell = kernel.start(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")
        gate.release(1)
        cell.until(lambda: cell.shown)
        gate.wait_until_waiting()
        gate.release(2)
        cell.until(lambda: cell.shown[-1].endswith("**bold** "))  # it pauses, and all that came is shown
        gate.open()
        cell.end()

    assert cell.shown[0] == "# Title"[: len(cell.shown[0])]
    assert cell.pages[-1] == PAGE
    assert cell.shown[-1] == TEXT
    assert len(cell.of("display_data")) == 1
    assert len({content["transient"]["display_id"] for content in cell.of("display_data", "update_display_data")}) == 1
    assert cell.of("execute_result") == []


def test_the_first_piece_and_the_last_text_wait_for_no_interval(kernel: Kernel) -> None:
    gate = Gate()
    kernel.run("import acytoo_sdk._display.output\nacytoo_sdk._display.output._INTERVAL = 3600")
    with FakeServer(REPLY, gate=gate, pause=0) as server:
        cell = kernel.start(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")
        gate.release(1)
        cell.until(lambda: cell.shown)
        gate.open()
        cell.end()
    kernel.run("acytoo_sdk._display.output._INTERVAL = 0.1")

    assert len(cell.shown) == 2
    assert cell.shown[-1] == TEXT


def test_a_fast_reply_is_refreshed_about_ten_times_a_second(kernel: Kernel) -> None:
    pieces = [f"{number} " for number in range(1500)]
    with FakeServer(pieces, pause=0.0005) as server:
        begun = time.monotonic()
        cell = kernel.run(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")
        seconds = time.monotonic() - begun

    assert cell.shown[-1] == "".join(pieces)
    assert 3 <= len(cell.shown) <= 10 * seconds + 3
    assert all(later.startswith(earlier) for earlier, later in zip(cell.shown, cell.shown[1:], strict=False))


def test_what_is_costly_to_show_is_refreshed_less_often(kernel: Kernel) -> None:
    pieces = [f"{number} " for number in range(20)]
    kernel.run("from acytoo_sdk._display import output\noutput._PER_CHARACTER = 3600")
    with FakeServer(pieces, pause=0.05) as server:
        cell = kernel.run(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")
    kernel.run("output._PER_CHARACTER = 2e-6")

    assert 2 <= len(cell.shown) <= 3  # the first piece, perhaps one refresh, and the end
    assert cell.shown[-1] == "".join(pieces)


def test_a_reply_that_was_begun_is_shown_from_its_beginning(kernel: Kernel) -> None:
    with FakeServer(REPLY) as server:
        cell = kernel.run(
            f"from acytoo_sdk import Client\ns = Client({server.url!r}).stream('Hi')\nfirst = next(s)\ns.display()\n"
            "print([s], s.text)"
        )

    assert cell.shown[-1] == TEXT
    assert cell.printed == f"[<Stream whole, {len(TEXT)} characters>] {TEXT}\n"


def test_a_stream_that_is_not_the_value_of_a_cell_sends_nothing(kernel: Kernel) -> None:
    with FakeServer(REPLY) as server:
        code = f"from acytoo_sdk import Client\ns = Client({server.url!r}).stream('Hi')\n"
        cell = kernel.run(f"{code}[s]")
        kernel.run(f"{code}s;")

        assert server.requests == []
    assert cell.of("execute_result")[0]["data"] == {"text/plain": "[<Stream not started, 0 characters>]"}


def test_html_in_a_reply_is_shown_and_not_run(kernel: Kernel) -> None:
    with FakeServer("<script>alert(1)</script> [x](javascript:alert(1)) `a<b`") as server:
        cell = kernel.run(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")

    assert cell.shown[-1] == "<script>alert(1)</script> [x](javascript:alert(1)) `a<b`"
    assert cell.pages[-1] == (
        '<div class="mathjax_ignore tex2jax_ignore"><p>&#60;script&#62;alert(1)&#60;/script&#62; '
        "[x](javascript:alert(1)) <code>a&#60;b</code></p></div>"
    )


# The stop button.


STREAMS = {
    "a value": "s = Client({url!r}).stream('Hi')\ns",
    "displayed": "s = Client({url!r}).stream('Hi')\ns.display()",
    "in a conversation": "c = Client({url!r}).conversation()\ns = c.send('Hi')\ns",
}


@pytest.mark.parametrize("code", STREAMS.values(), ids=STREAMS)
def test_the_stop_button_closes_the_connection_and_keeps_the_text(kernel: Kernel, code: str) -> None:
    with FakeServer(REPLY, faults=[Fault.stall(after=3)]) as server:
        cell = kernel.start(f"from acytoo_sdk import Client\n{code.format(url=server.url)}")
        cell.until(lambda: cell.shown and cell.shown[-1].endswith("**bold** "))
        assert server.open_connections == 1
        kernel.interrupt()
        cell.end()
        server.wait_until(lambda: server.open_connections == 0)
        after = kernel.run("print(s.text, s.whole)")
        again = kernel.run(f"Client({server.url!r}).complete('Hi')")

    assert cell.status == "error"
    assert re.fullmatch(r"KeyboardInterrupt: the connection is closed, .*", cell.error)
    assert cell.shown[-1] == "# Title\nsome **bold** "
    assert after.printed == "# Title\nsome **bold**  False\n"
    assert again.of("execute_result")[0]["data"]["text/plain"] == repr(TEXT)


def test_an_awaited_display_that_is_cancelled_closes_the_connection_and_keeps_the_text(kernel: Kernel) -> None:
    # The stop button of ipykernel 7.4 does not reach an async cell, whatever it awaits.
    with FakeServer(REPLY, faults=[Fault.stall(after=3)]) as server:
        cell = kernel.start(
            "import asyncio\nfrom acytoo_sdk import AsyncClient\n"
            f"s = AsyncClient({server.url!r}).stream('Hi')\nshowing = asyncio.create_task(s.display())\n"
            "while not s.text.endswith('**bold** '): await asyncio.sleep(0.01)\n"
            "showing.cancel()\nawait showing"
        ).end()
        server.wait_until(lambda: server.open_connections == 0)
        after = kernel.run("print(s.text, s.whole)")

    assert cell.shown[-1] == "# Title\nsome **bold** "
    assert cell.reply["content"]["ename"] == "CancelledError"
    assert after.printed == "# Title\nsome **bold**  False\n"


def test_the_stop_button_works_before_the_first_piece(kernel: Kernel) -> None:
    with FakeServer(REPLY, faults=[Fault.no_head()]) as server:
        cell = kernel.start(f"from acytoo_sdk import Client\ns = Client({server.url!r}).stream('Hi')\ns")
        server.wait_until(lambda: server.requests)
        kernel.interrupt()
        cell.end()
        server.wait_until(lambda: server.open_connections == 0)

    assert cell.error.startswith("KeyboardInterrupt: the connection is closed")
    assert cell.shown == []


def test_a_magic_that_is_stopped_stores_the_text_and_leaves_the_conversation(loaded: Kernel) -> None:
    with FakeServer(REPLY, faults=[None, Fault.stall(after=3)]) as server:
        loaded.run(f"%acytoo --config base_url={server.url}")
        loaded.run("%%acytoo\nfirst")
        cell = loaded.start("%%acytoo -o answer\nsecond")
        cell.until(lambda: cell.shown and cell.shown[-1].endswith("**bold** "))
        loaded.interrupt()
        cell.end()
        after = loaded.run("answer")
        loaded.run("%%acytoo\nthird")

        assert [len(request.json["messages"]) for request in server.requests if request.json] == [1, 3, 3]
    assert cell.error.startswith("KeyboardInterrupt: the connection is closed")
    assert after.of("execute_result")[0]["data"]["text/plain"] == repr("# Title\nsome **bold** ")


# Errors.


def test_an_error_is_a_few_lines_below_the_text_and_fails_the_cell(kernel: Kernel) -> None:
    with FakeServer(REPLY, faults=[Fault.cut(after=3)]) as server:
        cell = kernel.run(f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')")
        full = kernel.run("%tb")

    assert cell.shown[-1] == "# Title\nsome **bold** "
    assert cell.status == "error"
    assert cell.reply["content"]["ename"] == "StreamInterruptedError"
    sentence, *rest = cell.error.splitlines()
    assert sentence.startswith("StreamInterruptedError: The reply broke off")
    assert rest[0] == "Hint: the same call may well succeed later"
    assert rest[1:] == ["What had arrived is shown above.", "The full traceback: %tb"]
    assert full.error.splitlines()[0] == sentence
    assert "Traceback (most recent call last)" in full.error
    assert "stream.py" in full.error


def test_a_notebook_stops_at_a_reply_that_broke(started: Kernel, tmp_path: Path) -> None:
    with FakeServer(REPLY, faults=[Fault.status(401)]) as server, pytest.raises(nbclient.exceptions.CellExecutionError):
        execute(tmp_path, f"from acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')", "print('never')")
    first, second = nbformat.read(tmp_path / "executed.ipynb", as_version=4).cells

    assert outputs_of(first) == [("error", "AuthenticationError")]
    assert outputs_of(second) == []


def test_with_the_extension_any_error_of_ours_is_a_few_lines_with_the_text(loaded: Kernel) -> None:
    with FakeServer([*REPLY, "\x1b[2J"], faults=[Fault.cut(after=5)] * 2) as server:
        client = f"from acytoo_sdk import Client\nc = Client({server.url!r})\n"
        cell = loaded.run(f"{client}c.complete('Hi')\nprint('never')")
        other = loaded.run("1 / 0")
        loaded.run("%unload_ext acytoo_sdk")
        unloaded = loaded.run("c.complete('Hi')")

    assert cell.error.splitlines()[2:] == [
        "What had arrived:",
        *f"{TEXT}\ufffd[2J".splitlines(),
        "The full traceback: %tb",
    ]
    assert cell.printed == ""
    assert "ZeroDivisionError" in other.error
    assert "Traceback" in other.error
    assert "Traceback" in unloaded.error


def test_another_handler_of_errors_keeps_its_own(kernel: Kernel) -> None:
    kernel.run(
        "def other(shell, kind, error, tb, tb_offset=None): print('other', error)\n"
        "get_ipython().set_custom_exc((KeyError,), other)\n%load_ext acytoo_sdk"
    )
    both = kernel.run("{}['x']"), kernel.run("from acytoo_sdk import Client\nClient('nowhere')")
    kernel.run("%unload_ext acytoo_sdk")
    after = kernel.run("{}['x']")
    kernel.run("get_ipython().set_custom_exc((), None)")

    assert [both[0].printed, after.printed] == ["other 'x'\n"] * 2
    assert both[1].error.startswith("InvalidRequestError: base_url ")


# The magics.


def test_a_conversation_goes_on_from_cell_to_cell(loaded: Kernel) -> None:
    with FakeServer(lambda request: f"reply {len(request['messages'])}") as server:
        loaded.run(f"%acytoo --config base_url={server.url}")
        cells = [
            loaded.run(f"%%acytoo {options}\nquestion {number}")
            for number, options in enumerate(
                ["", "-s 'Be brief.'", "-m other -t 1.5", "--system Louder -o answer", "--new --raw", "-s a -s ''"]
            )
        ]
        history = loaded.run("%acytoo --history")
        answer = loaded.run("answer").of("execute_result")[0]["data"]["text/plain"]
        loaded.run("%acytoo --reset")
        empty = loaded.run("%acytoo --history")
        sent = [request.json for request in server.requests if request.json]

    assert [cell.status for cell in cells] == ["ok"] * 5 + ["error"]
    assert sent[0]["messages"] == [{"role": "user", "content": "question 0"}]
    assert [len(request["messages"]) for request in sent] == [1, 4, 6, 8, 1]
    assert [request["messages"][0]["content"] for request in sent] == [
        "question 0",
        "Be brief.",
        "Be brief.",
        "Louder",
        "question 4",
    ]
    assert [(request["model"], request["temperature"]) for request in sent[1:4]] == [
        ("gpt-3.5-turbo", 0.5),
        ("other", 1.5),
        ("gpt-3.5-turbo", 0.5),
    ]
    assert cells[0].shown[-1] == "reply 1"
    assert cells[4].of("display_data")[0]["data"] == {"text/plain": "reply 1"}
    assert answer == "'reply 8'"
    assert history.shown == ["user: question 4\n\nassistant: reply 1"]
    assert empty.printed == "No conversation yet.\n"


def test_variables_are_filled_in_only_when_asked_for(loaded: Kernel) -> None:
    with FakeServer("ok") as server:
        loaded.run(f"%acytoo --config base_url={server.url}\nname, trap = 'Ada', '{{name}}'")
        for options in ("", "-f"):
            loaded.run(f"%%acytoo --new {options}\nHi {{name}} and {{{{x}}}} {{trap}}\n")
        refused = [
            loaded.run(f"%%acytoo -f\n{cell}")
            for cell in (
                "{nobody}",
                "{name.upper}",
                "{name[0]}",
                "{name!r}",
                "{name:>9}",
                "{1+1}",
                "{}",
                "{0}",
                "}",
                "{a b}",
            )
        ]
        sent = [request.json["messages"][0]["content"] for request in server.requests if request.json]

    assert sent == ["Hi {name} and {{x}} {trap}", "Hi Ada and {x} {name}"]
    assert [cell.status for cell in refused] == ["error"] * 10
    assert refused[0].printed == "UsageError: -f: the notebook has no variable nobody; {{ and }} stand for braces\n"
    assert all(cell.printed.startswith("UsageError: -f") and cell.printed.count("\n") == 1 for cell in refused)


def test_settings_are_shown_and_secrets_never_are(loaded: Kernel) -> None:
    with FakeServer("ok") as server:
        loaded.run(f"MY_KEY = 'sesame'\nimport os\nos.environ['MY_PASSWORD'] = 'swordfish'\nurl = {server.url!r}")
        cells = [
            loaded.run(f"%acytoo --config {words}")
            for words in (
                "base_url=$url key=$MY_KEY password=$MY_PASSWORD retry=1 timeout=none timeout.idle=9 model=other",
                "temperature=0.25",
                "",
                "key=sesame",
                "password=$sesame!",
                "sesame",
                "colour=sesame",
                "temperature=2.5 model=never",
                "retry=often",
                "timeout.idler=3",
            )
        ]
        cells += [loaded.run("%acytoo key=sesame"), loaded.run("%acytoo"), loaded.run("%%acytoo\nHi")]
        sent = server.requests[0].json

    assert sent == {**(sent or {}), "key": "sesame", "password": "swordfish", "model": "other", "temperature": 0.25}
    assert [cell.status for cell in cells] == ["ok"] * 3 + ["error"] * 8 + ["ok"] * 2
    assert "idle=9.0, total=None" in cells[2].printed
    assert "key          set" in cells[2].printed
    everything = "".join(str(cell.messages) + str(cell.reply) for cell in cells).replace("%acytoo key=sesame", "")
    echoed = re.sub(r"'code': '[^']*'", "", everything)  # the front end's own input, sent back
    assert "sesame" not in echoed
    assert "swordfish" not in echoed
    assert cells[4].printed == (
        "UsageError: password is not typed, since it would be saved with the notebook: "
        "password=$NAME takes it from a variable\n"
    )


def test_a_client_of_the_users_own_is_asked(loaded: Kernel) -> None:
    with FakeServer("ok") as server:
        loaded.run(f"from acytoo_sdk import Client\nmine = Client({server.url!r}, headers={{'x-mine': 'yes'}})")
        loaded.run("%acytoo --config client=$mine model=other")
        loaded.run("%%acytoo\nHi")
        loaded.run("%unload_ext acytoo_sdk\nmine.complete('still open')")

        assert [request.headers["x-mine"] for request in server.requests] == ["yes", "yes"]
        assert [request.json["model"] for request in server.requests if request.json] == ["other", "gpt-3.5-turbo"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("%%acytoo\nHi", "no server: say %acytoo --config base_url=https://..., or set ACYTOO_BASE_URL"),
        ("%%acytoo\n \n", "the cell is empty: write the question below the first line"),
        ("%%acytoo -o 1x\nHi", "-o takes the name of a variable, not '1x'"),
        ("%%acytoo -o class\nHi", "-o takes the name of a variable, not 'class'"),
        ("%%acytoo -t hot\nHi", "argument -t/--temperature: invalid float value: 'hot'; %acytoo shows the options"),
        ("%%acytoo -s 'x\nHi", "No closing quotation in the options"),
        ("%%acytoo --sytem sesame\nHi", "--sytem is no option; %acytoo shows the options"),
        ("%%acytoo -x\nHi", "-x is no option; %acytoo shows the options"),
        ("%acytoo --key=sesame", "--key is no option; %acytoo shows the options"),
        ("%acytoo sesame -sesame", "that is no option; %acytoo shows the options"),
        (
            "%acytoo --reset --history",
            "argument --history: not allowed with argument --reset; %acytoo shows the options",
        ),
        ("%acytoo --config model=$nobody", "$nobody is no variable of the notebook, nor of the environment"),
    ],
)
def test_a_magic_that_is_used_wrongly_says_so_in_one_line(loaded: Kernel, code: str, sentence: str) -> None:
    assert loaded.run(code).printed == f"UsageError: {sentence}\n"


def test_no_secret_is_shown_by_a_bad_setting_nor_by_its_traceback(loaded: Kernel) -> None:
    loaded.run("MY_KEY = 'ses' + 'ame'\n%xmode Verbose")
    for name in ("temperature", "retry", "timeout", "timeout.idle", "base_url", "payload", "colour"):
        for code in (f"%acytoo --config base_url=http://127.0.0.1:9 key=$MY_KEY {name}=$MY_KEY", "%tb"):
            cell = loaded.run(code)
            assert "sesame" not in str(cell.messages) + str(cell.reply), code
    cell = loaded.run("%acytoo --config base_url=http://127.0.0.1:9 key=$MY_KEY temperature=5")
    assert cell.error.startswith("InvalidRequestError: temperature must be 0 to 2")
    shown = str(loaded.run("%tb").messages)
    assert "_configure" in shown
    assert "sesame" not in shown


def test_the_payload_is_a_setting_by_its_name_or_a_function_of_the_notebook(loaded: Kernel) -> None:
    with FakeServer(pause=0) as server:
        loaded.run(f"url = {server.url!r}\ndef mine(values): return {{'prompt': values['model']}}")
        settings = loaded.run("%acytoo --config base_url=$url path=/api/chat payload=ai-sdk")
        cells = [loaded.run("%%acytoo --new\nHi")]
        loaded.run("%acytoo --config payload=$mine")
        cells.append(loaded.run("%%acytoo --new\nHi"))
        wrong = loaded.run("%acytoo --config payload=sesame")

    assert "payload      ai-sdk" in settings.printed
    assert [cell.shown[-1] for cell in cells] == ["You said: Hi (1 message)", "You said: gpt-3.5-turbo (0 messages)"]
    assert [request.path for request in server.requests] == ["/api/chat"] * 2
    assert wrong.error.startswith("InvalidRequestError: payload must be one of acytoo, ai-sdk, prompt")
    assert "sesame" not in wrong.error


def test_a_key_without_a_server_goes_nowhere(loaded: Kernel) -> None:
    loaded.run("%env ACYTOO_KEY=sesame")
    settings, cell = loaded.run("%acytoo --config"), loaded.run("%%acytoo\nHi")
    loaded.run("import os; MY_KEY = os.environ.pop('ACYTOO_KEY')")
    key = loaded.run("%acytoo --config key=$MY_KEY")

    assert "key          set" in settings.printed
    assert cell.printed == "UsageError: no server: say %acytoo --config base_url=https://..., or set ACYTOO_BASE_URL\n"
    assert key.error.startswith("InvalidRequestError: key= (or ACYTOO_KEY) is set, and no base_url")


def test_a_server_of_the_environment_is_asked(loaded: Kernel) -> None:
    with FakeServer("ok") as server:
        loaded.run(f"%env ACYTOO_BASE_URL={server.url}")
        cell = loaded.run("%%acytoo\nHi")
        loaded.run("import os; os.environ.pop('ACYTOO_BASE_URL', None)")

    assert cell.shown == ["ok"]


# Around it.


def test_top_level_await_works_and_patches_no_loop(kernel: Kernel) -> None:
    with FakeServer(REPLY) as server:
        cell = kernel.run(
            "import asyncio, sys\nfrom acytoo_sdk import AsyncClient\n"
            f"client = AsyncClient({server.url!r})\n"
            "texts = await asyncio.gather(*(client.complete('Hi') for _ in range(3)))\n"
            "stream = client.stream('Hi')\npieces = [piece async for piece in stream]\n"
            "await client.stream('Hi').display()\n"
            "print(set(texts) == {stream.text}, 'nest_asyncio' in sys.modules)\nstream"
        )

    assert cell.printed == "True False\n"
    assert cell.shown[-1] == TEXT
    assert cell.of("execute_result")[0]["data"] == {"text/plain": TEXT, "text/html": PAGE}


def test_autoreload_works(loaded: Kernel, tmp_path: Path) -> None:
    module = tmp_path / "asker_of_this_test.py"
    source = "from acytoo_sdk import Client, AcytooError\ndef ask(url):\n    return Client(url).complete({!r})\n"
    module.write_text(source.format("one"))
    with FakeServer(lambda request: request["messages"][-1]["content"]) as server:
        loaded.run(f"%acytoo --config base_url={server.url}\n%load_ext autoreload\n%autoreload 2")
        first = loaded.run(
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport asker_of_this_test as m\nm.ask({server.url!r})"
        )
        module.write_text(source.format("another"))
        second = loaded.run(f"m.ask({server.url!r})")
        loaded.run("%%acytoo\nHi")
        # As if the package itself was edited.
        loaded.run(
            "import importlib, acytoo_sdk.notebook, acytoo_sdk._display.markdown\n"
            "importlib.reload(acytoo_sdk._display.markdown)\nimportlib.reload(acytoo_sdk.notebook)"
        )
        last = loaded.run("%%acytoo\nagain")
        loaded.run("%autoreload 0")
        sent = [len(request.json["messages"]) for request in server.requests if request.json]

    assert first.of("execute_result")[0]["data"]["text/plain"] == "'one'"
    assert second.of("execute_result")[0]["data"]["text/plain"] == "'another'"
    assert last.shown == ["again"]
    assert sent == [1, 1, 1, 3]


@pytest.mark.parametrize("name", ["acytoo_sdk", "acytoo_sdk.notebook"])
def test_the_extension_can_be_loaded_reloaded_and_unloaded(kernel: Kernel, name: str) -> None:
    with FakeServer("ok") as server:
        cells = [
            kernel.run(code)
            for code in (
                f"%load_ext {name}",
                "%load_ext acytoo_sdk.notebook",
                f"%reload_ext {name}",
                f"%acytoo --config base_url={server.url}",
                "%%acytoo\nHi",
                "%acytoo?",
                f"%unload_ext {name}",
                "%acytoo --history",
            )
        ]
        kernel.run("%unload_ext acytoo_sdk.notebook")

    assert [cell.status for cell in cells[:7]] == ["ok"] * 7
    assert cells[4].shown == ["ok"]
    assert "Options of a cell, %%acytoo" in str(cells[5].reply["content"]["payload"])
    assert "not found" in cells[7].printed
    assert "custom_exceptions" not in cells[6].printed


def test_a_second_kernel_has_a_conversation_of_its_own(loaded: Kernel, tmp_path: Path) -> None:
    gate = Gate()
    second = Kernel(tmp_path)
    try:
        with FakeServer(REPLY, gate=gate) as server:
            both = [loaded, second]
            for kernel in both:
                kernel.run(f"%load_ext acytoo_sdk\n%acytoo --config base_url={server.url}")
            cells = [kernel.start("%%acytoo\nHi") for kernel in both]
            server.wait_until(lambda: gate.waiting == 2)
            gate.open()
            shown = [cell.end().shown[-1] for cell in cells]

            assert [len(request.json["messages"]) for request in server.requests if request.json] == [1, 1]
    finally:
        second.close()
    assert shown == [TEXT, TEXT]


# Without a notebook.


def test_outside_of_a_notebook_the_reply_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(["Hel", "lo\x1b[2J"]) as server:
        Client(server.url).stream("Hi").display()

    assert capsys.readouterr().out == "Hello\ufffd[2J\n"


def test_a_line_end_in_two_pieces_is_printed_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(["one\r", "\ntwo\r", "three\r"]) as server:
        Client(server.url).stream("Hi").display()

    assert capsys.readouterr().out == "one\ntwo\nthree\n"

    with output() as shown:
        shown.add("one\r")
        assert capsys.readouterr().out == "one"  # at once, though its line may go on

    assert capsys.readouterr().out == "\n"


def test_ipython_in_a_terminal_prints_the_reply_once(tmp_path: Path) -> None:
    with FakeServer(REPLY) as server:
        done = subprocess.run(
            [sys.executable, "-m", "IPython", "--colors=NoColor", "--no-banner", "-c",
             f"%load_ext acytoo_sdk\nfrom acytoo_sdk import Client\nClient({server.url!r}).stream('Hi')"],
            capture_output=True, text=True, check=True, env=environment(tmp_path),
        )  # fmt: skip

    assert done.stdout.endswith(f"]: {TEXT}\n")
    assert done.stdout.count("Title") == 1


def test_without_ipython_one_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPython", "IPython.core", "IPython.core.getipython"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'acytoo-sdk\[notebook\]'") as caught, output():
        pass
    assert caught.value.name == "IPython"
