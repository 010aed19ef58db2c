"""The folder listing is the architecture: every file has its place, every public name explains itself."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acytoo_sdk

PACKAGE = Path(acytoo_sdk.__file__).parent

# Every file, top to bottom: each imports only from those above it, at run time and for type checkers alike.
ORDER = """
    _version  errors  _secrets
    _wire  _wire.framing  _wire.notices  _wire.decoder  _wire.error_bodies  _wire.statuses  _wire.dates  _wire.payloads
    protocol  _hosts  _checks  _stats  events  _options
    _network  _network.provenance  _network.limits  _network.tls  _network.sockets  _network.head  _network.failures
    _network.connections
    _network.socks  _network.proxies  _network.transport  _network.exchange  _network.pool
    _streams  _streams.retry  _streams.log  _streams.libraries  _streams.text  _streams.reply  _streams.lifecycle
    _streams.listeners  _streams.call  _streams.base  _streams.stream
    _streams.reader  _streams.watch  _streams.openers  _streams.waker  _streams.async_stream
    _streams.background
    _display.characters  _display.tex  _display.formulas  _display.code  _display.markdown  _display.output  _display
    _history  conversation
    _batch  _batch.task  _batch.throttle  _batch.schedule  _batch.asking  _batch.workers  _batch.readers  _batch.journal
    _batch.run  batch
    _base_client  _client  _async_client
    testing._wire  testing._gate  testing._faults  testing._answers  testing._connection  testing._server  testing
    provider  _templates  notebook
    integrations  integrations.ray  integrations.opentelemetry
    integrations.langchain.stop_words  integrations.langchain.fields  integrations.langchain.messages
    integrations.langchain.clients  integrations.langchain
    server.settings  server.failures  server.surrogates  server.wire  server.access
    server.sse  server.error_objects  server.chunks  server.completions
    server.alarm  server.upstream  server.offline  server.log  server.endings  server.listener  server.app
    server.program  server
    cli.statuses
    cli.display  cli.settings  cli.asking  cli.examining  cli.chatting  cli.batching
    cli.display.terminal  cli.display.keyboard  cli.display.waiting  cli.display.markdown  cli.display.growing
    cli.display.screen  cli.display.live  cli.display.bar
    cli.asking.code_block  cli.asking.report  cli.asking.outputs  cli.asking.prompt
    cli.settings.merging  cli.verbs  cli.settings.file  cli.options  cli.settings.clients  cli.settings.changes
    cli.servers
    integrations.llm
    cli.examining.cases  cli.examining.diagnoses  cli.examining.probes  cli.examining.examination
    cli.chatting.interrupts  cli.chatting.clipboard  cli.chatting.commands
    cli.chatting.talk  cli.chatting.output
    cli.chatting.plain_lines  cli.chatting.line_history  cli.chatting.line_editor
    cli.batching.source  cli.batching.prompts  cli.batching.tally  cli.batching.progress
    cli.ask  cli.chat  cli.batch  cli.doctor  cli.config  cli.serve  cli.app  cli  __main__
""".split()  # noqa: SIM905
SANS_IO = ORDER[: ORDER.index("protocol") + 1]
# The same of the server: what comes in, what goes out, and what an upstream says.
SERVER_SANS_IO = [*SANS_IO, "_hosts", *ORDER[ORDER.index("server.settings") : ORDER.index("server.completions") + 1]]
# The files through which a library comes in.
DOORS = {
    "requests": {"_network.transport"},
    "urllib3": {"_network.connections"},
    "socks": {"_network.socks"},
    "tenacity": {"_streams.retry"},
    "aiohttp": {"server.upstream", "server.listener", "server.app"},  # its client, its server, and what is answered
    "anyio": {"_streams.waker", "server.upstream", "server.app", "integrations.llm"},  # the server's limits
    # A command is declared in its own file.
    "click": {
        *("cli", "integrations.llm"),
        *(f"cli.{name}" for name in "app verbs options ask batch chat config doctor serve".split()),  # noqa: SIM905
    },
    "prompt_toolkit": {"cli.chatting.line_editor"},
    # Texts with styles, and what a terminal can show.
    "rich": {f"cli.display.{name}" for name in "terminal waiting markdown growing screen live bar".split()},  # noqa: SIM905
    "platformdirs": {"cli.settings.file", "cli.chatting.line_history"},
    "tomlkit": {"cli.settings.file"},
    # Its parser, and what it has to learn; for a terminal, and to find code.
    "markdown_it": {
        *("_display.markdown", "_display.formulas"),
        *("cli.display.markdown", "cli.display.growing", "cli.asking.code_block"),
    },
    "pygments": {"_display.code"},
    "ray": {"integrations.ray"},
    "opentelemetry": {"integrations.opentelemetry"},
    "llm": {"integrations.llm"},
    "langchain_core": {"integrations.langchain", "integrations.langchain.messages"},
    # LangChain's models are its models, and the options of a model of llm's.
    "pydantic": {"integrations.langchain", "integrations.langchain.fields", "integrations.llm"},
    "pydantic_core": {"integrations.langchain", "integrations.langchain.fields"},
    "IPython": {"_display.output", "notebook"},  # what a notebook shows, and what is typed there
}
# Of use to a type checker only; never imported when the package runs.
TYPING_ONLY = {"typing_extensions"}
DOES_IO = """
    _socket _ssl anyio asyncio concurrent concurrent.futures email http.client http.server logging multiprocessing
    requests select selectors signal socket sqlite3 ssl subprocess tempfile tenacity threading trio urllib.request
    urllib3
""".split()  # noqa: SIM905
PROMISED = """
    Client AsyncClient Stream AsyncStream Conversation AsyncConversation
    Message Timeout RetryPolicy Stats ReplyHead
    AcytooError InvalidRequestError APIConnectionError APITimeoutError APIStatusError BadRequestError
    AuthenticationError PermissionDeniedError NotFoundError RateLimitError ServerError RedirectError
    UnexpectedReplyError EmptyReplyError DecodeError ReplyTooLargeError StreamInterruptedError StreamCancelledError
    ClientClosedError
""".split()  # noqa: SIM905
MADE_BY_THE_PACKAGE = {"Stream", "AsyncStream", "Map", "AsyncMap"}
# A generator's methods, as everybody knows them.
KNOWN = {"send", "throw", "close", "asend", "athrow", "aclose"}


def name_of(path: Path) -> str:
    """A file's dotted name inside the package; a folder's `__init__` is the folder, the package's own is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in FILES.items()}


def imports_of(name: str) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, by its full name; names in it come with their module."""
    package = ("acytoo_sdk", *FILES[name].relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else ())))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The file of the package that an import goes to, "" for the package itself; None for anything outside of it."""
    package, _, rest = module.partition(".")
    if package != "acytoo_sdk":
        return None
    while rest and rest not in FILES:
        rest = rest.rpartition(".")[0]
    return rest


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Rooms


def test_every_file_has_its_place_in_the_order() -> None:
    assert sorted(FILES) == sorted(["", *ORDER])
    assert {path.name for path in PACKAGE.rglob("*") if path.is_file()} - {path.name for path in FILES.values()} <= {
        "py.typed",
        *(path.name for path in PACKAGE.rglob("*.pyc")),
    }
    assert (PACKAGE / "py.typed").exists()


def test_a_file_imports_only_from_those_above_it() -> None:
    for index, name in enumerate(ORDER):
        for module in imports_of(name):
            room = room_of(module)
            # The package's own namespace is for users: through it, any room could be reached.
            assert room != "", f"{name} imports {module} from the package itself"
            assert room is None or room in ORDER[:index], f"{name} imports {module}, which stands below it"


def test_each_library_comes_in_by_its_doors() -> None:
    used: dict[str, set[str]] = {}
    for name in FILES:
        for module in imports_of(name):
            library = module.partition(".")[0]
            if library not in {*sys.stdlib_module_names, *TYPING_ONLY, "acytoo_sdk"}:
                used.setdefault(library, set()).add(name)

    assert used == DOORS


def test_no_file_reaches_into_what_another_keeps_private() -> None:
    """A name with one underscore belongs to the file whose classes set it."""
    for name, tree in TREES.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own = {node.attr for node in nodes if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in nodes:
            private = re.fullmatch(r"_[^_].*", node.attr) and not node.attr.endswith("_")  # IPython's hooks end in one
            if private and ast.unparse(node.value) not in ("self", "cls", "super()", "os"):
                assert node.attr in own, f"{name}, line {node.lineno}: {ast.unparse(node)}"


def test_every_file_says_in_one_line_what_lives_there() -> None:
    for name, tree in TREES.items():
        caption = (ast.get_docstring(tree) or "").split("\n\n")[0]
        assert caption.endswith("."), f"{name or '__init__'}: {caption!r}"
        assert "\n" not in caption, f"{name or '__init__'}: {caption!r}"


def test_no_file_is_crowded() -> None:
    """About 300 lines are one idea; the protocol is the one that may have more."""
    for name, path in FILES.items():
        lines = path.read_text("utf-8").count("\n")
        assert lines <= (450 if name == "protocol" else 400), f"{name}: {lines} lines"


# Sans-IO


def test_the_sans_io_rooms_name_no_module_that_does_io() -> None:
    for name in SERVER_SANS_IO:
        for module in imports_of(name):
            package, _, _ = module.partition(".")
            assert not {module, module.rpartition(".")[0]} & {*DOES_IO}, f"{name} imports {module}"
            assert package in {*sys.stdlib_module_names, "acytoo_sdk"}, f"{name} imports {module}"
            assert package not in {"time", "os", "random", "io", "pathlib"}, f"{name} imports {module}"


def test_the_protocol_runs_where_nothing_that_does_io_is_loaded() -> None:
    loaded = run(
        "import sys; before = set(sys.modules); import acytoo_sdk.protocol as p; r = p.ReplyReader();"
        "r.receive_head(200, {}); r.receive_data(b'Hi'); r.receive_eof(); p.build_request('Hi');"
        "print(*set(sys.modules) - before)"
    ).split()

    assert "acytoo_sdk.protocol" in loaded
    assert not set(loaded) & set(DOES_IO)
    assert {name for name in loaded if name.startswith("acytoo_sdk.")} == {f"acytoo_sdk.{room}" for room in SANS_IO}


def test_what_the_server_reads_and_says_runs_where_nothing_that_does_io_is_loaded() -> None:
    loaded = run(
        "import sys; before = set(sys.modules)\n"
        "from acytoo_sdk._secrets import Mask, Secret\n"
        "from acytoo_sdk.server import access, completions, settings, wire\n"
        'question = wire.read_question(b\'{"prompt": "Hi"}\')\n'
        "access.Access(host='localhost', password=Secret(''), origins=()).check_password(question)\n"
        "r = completions.CompletionReader(Mask()); r.receive_head(200, {}); r.receive_data(b'data: {}\\n\\n')\n"
        "r.receive_eof(); print(*set(sys.modules) - before)"
    ).split()

    assert not set(loaded) & set(DOES_IO)
    rooms = {f"acytoo_sdk.{room}" for room in [*SERVER_SANS_IO, "server"]}
    assert {name for name in loaded if name.startswith("acytoo_sdk.")} == rooms


# Imports are lazy


@pytest.mark.parametrize("code", ["import acytoo_sdk", "from acytoo_sdk import Client; Client('http://127.0.0.1:1')"])
def test_importing_and_making_a_client_load_no_third_party_library(code: str) -> None:
    loaded = run(f"{code}\nimport sys; print(*sys.modules)").split()

    assert not {name.partition(".")[0] for name in loaded} & set(DOORS)


@pytest.mark.parametrize("client", ["Client", "AsyncClient"])
def test_making_a_client_loads_nothing_of_conversations_displays_and_sockets(client: str) -> None:
    code = f"from acytoo_sdk import {client}; {client}('http://127.0.0.1:1'); import sys; print(*sys.modules)"
    loaded = {name.removeprefix("acytoo_sdk.") for name in run(code).split()}

    assert "_base_client" in loaded
    assert {name for name in loaded if name.startswith("_display")} == {"_display"}, "whose functions import the rest"
    assert not loaded & {"conversation", "_history", "_network.sockets", "ssl"}


def test_importing_the_package_loads_none_of_its_rooms_but_the_version() -> None:
    loaded = run("import acytoo_sdk, sys; print(*sys.modules)").split()

    assert {name for name in loaded if name.startswith("acytoo_sdk.")} == {"acytoo_sdk._version"}


# Public names


def test_the_public_names_are_the_promised_ones() -> None:
    assert set(acytoo_sdk.__all__) == {*PROMISED, "__version__"}
    assert list(acytoo_sdk.__all__) == sorted(acytoo_sdk.__all__)
    assert set(acytoo_sdk.__all__) <= set(dir(acytoo_sdk))


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    imports = [node for node in ast.walk(TREES[""]) if isinstance(node, ast.ImportFrom)]
    declared = {alias.asname for node in imports for alias in node.names}
    for name in acytoo_sdk.__all__:
        value = getattr(acytoo_sdk, name)
        assert value is getattr(acytoo_sdk, name)
        assert name in declared
        assert name == "__version__" or value.__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(acytoo_sdk, "Nothing")  # noqa: B009 - a type checker knows that it is not there


def documented() -> Iterator[tuple[str, object]]:
    """Every public class and function, and their public methods, by name."""
    from acytoo_sdk import batch, protocol, testing

    public = {name: getattr(acytoo_sdk, name) for name in acytoo_sdk.__all__ if name != "__version__"}
    public |= {name: getattr(batch, name) for name in batch.__all__}
    for room in (protocol, testing):
        public |= {
            name: value
            for name, value in vars(room).items()
            if not name.startswith("_") and inspect.isroutine(value) | inspect.isclass(value)
            if getattr(value, "__module__", "").startswith(room.__name__)
        }
    for name, value in sorted(public.items()):
        yield name, value
        for method in vars(value) if inspect.isclass(value) else ():
            if not method.startswith("_"):
                yield f"{name}.{method}", inspect.getattr_static(value, method)


DOCUMENTED = {
    name: value
    for name, value in documented()
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, (property, staticmethod, classmethod))
    if name.rpartition(".")[2] not in KNOWN
}


def parameters_of(value: object) -> dict[str, bool]:
    """What a caller passes, and whether it must be passed. A class says it for its constructor."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if inspect.isclass(value):
        value = value.__dict__.get("__init__")
    if not inspect.isfunction(value):
        return {}
    parameters = inspect.signature(value).parameters.items()
    return {name: each.default is each.empty for name, each in parameters if name not in ("self", "cls")}


def section(doc: str, title: str) -> str:
    """The indented block below a title of a docstring; "" if there is none."""
    lines = inspect.cleandoc(doc).splitlines()
    if f"{title}:" not in lines:
        return ""
    rest = lines[lines.index(f"{title}:") + 1 :]
    end = next((index for index, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
    return "\n".join(rest[:end])


def test_every_public_name_has_a_docstring_that_begins_with_a_summary() -> None:
    for name, value in DOCUMENTED.items():
        doc = value.__doc__ or ""
        assert inspect.cleandoc(doc).split("\n\n")[0].rstrip().endswith((".", ":", ")")), f"{name}: {doc!r}"


def test_a_docstring_explains_every_argument() -> None:
    """In a section of its own, or, where that would only repeat the summary, in the summary."""
    for name, value in DOCUMENTED.items():
        if inspect.isclass(value) and (dataclasses.is_dataclass(value) or name in MADE_BY_THE_PACKAGE):
            continue  # its attributes are explained, and who makes it is not the user
        if inspect.isclass(value) and issubclass(value, acytoo_sdk.AcytooError):
            continue
        doc, parameters = value.__doc__ or "", parameters_of(value)
        explained = section(doc, "Args")
        if explained:
            assert [each for each in parameters if not re.search(rf"\b{each}\b.*:", explained)] == [], name
        elif "same arguments" not in doc:
            required = [each for each, must in parameters.items() if must]
            assert len(required) <= 1 or [each for each in required if f"`{each}`" not in doc] == [], name


# The folder around the package


@pytest.mark.skipif(not (PACKAGE.parent / "setup.cfg").exists(), reason="an installed package has no folder around it")
def test_the_top_level_holds_what_the_design_names_and_nothing_else() -> None:
    named = {"setup.cfg", "setup.py", "README.md", "CHANGELOG.md", "acytoo_sdk", "tests"}
    made_by_tools = {"acytoo_sdk.egg-info", "build", "dist", "htmlcov", "mutants", "__pycache__", "PKG-INFO"}

    found = {path.name for path in PACKAGE.parent.iterdir() if not path.name.startswith(".")}

    assert found <= named | made_by_tools
    assert {"setup.cfg", "setup.py", "acytoo_sdk", "tests"} <= found
