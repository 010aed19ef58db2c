"""The rooms are where the design says, imports point one way, and every public name explains itself."""

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
# Each imports only from those before it; one that is not built yet is skipped.
ROOMS = (
    "_version",
    "errors",
    "_secrets",
    "_notices",
    "_framing",
    "_bodies",
    "_dates",
    "protocol",
    "_checks",
    "_options",
    "_retry",
    "_exchange",
    "_failures",
    "_transport",
    "_connections",
    "_call",
    "_reader",
    "_history",
    "_markdown",
    "_display",
    "_base",
    "conversation",
    "_client",
    "_async_client",
    "testing",
    "provider",
    "notebook",
    "cli",
    "__main__",
)
SANS_IO = ("_version", "errors", "_secrets", "_notices", "_framing", "_bodies", "_dates", "protocol")
DOORS = {
    "requests": {"_transport"},
    "urllib3": {"_transport"},
    "socks": {"_transport"},
    "tenacity": {"_retry"},
    "anyio": {"_async_client"},
    "sniffio": {"_async_client"},
    "click": {"cli"},
    "IPython": {"_display", "notebook"},
}
# Of use to a type checker only; never imported when the package runs.
TYPING_ONLY = {"typing_extensions"}
# What a room may name of a later one, for a type checker only: the streams that a conversation hands out.
NAMED_AHEAD = {("conversation", "_client"), ("conversation", "_async_client")}
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
MADE_BY_THE_PACKAGE = {"Stream", "AsyncStream"}
NOT_BUILT_YET = {"Conversation": "conversation", "AsyncConversation": "conversation"}
NOT_BUILT_YET |= {"AsyncClient": "_async_client", "AsyncStream": "_async_client"}


def sources() -> Iterator[tuple[str, Path]]:
    """Every file of the package, with the room it belongs to."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, by its full name."""
    return imports_in(ast.parse(path.read_text("utf-8")), path)


def imports_that_run(path: Path) -> set[str]:
    """Those of them that are not for a type checker alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    return set(imports_in(tree, path))


def imports_in(tree: ast.Module, path: Path) -> Iterator[str]:
    package = ("acytoo_sdk", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*package[: len(package) + 1 - node.level], node.module or "")) if node.level else node.module
            )
            # `from . import x` may name a module; what is no module is found in the room all the same.
            yield from (f"{base}.{alias.name}".replace("..", ".") for alias in node.names)


def room_of(module: str) -> str | None:
    """The room an import goes to; None for one outside of the package, or for a public name."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return room if package == "acytoo_sdk" and room in ROOMS else None


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_file_is_a_room_of_the_design() -> None:
    assert {room for room, _ in sources()} <= {*ROOMS, "__init__"}
    assert {path.name for path in PACKAGE.iterdir() if path.suffix != ".py"} <= {*ROOMS, "py.typed", "__pycache__"}
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize(
    ("room", "path"), [pytest.param(*source, id="/".join(source[1].parts[-2:])) for source in sources()]
)
def test_a_room_imports_only_from_rooms_before_it(room: str, path: Path) -> None:
    if room == "__init__":
        return
    before = ROOMS[: ROOMS.index(room)]
    for module in imports_of(path):
        target = room_of(module)
        if (room, target) in NAMED_AHEAD and module not in imports_that_run(path):
            continue
        assert target is None or target in before or (target == room and path.parent != PACKAGE), module
        # The package's own namespace is for users: through it, any room could be reached.
        assert target or not module.startswith("acytoo_sdk") or ROOMS.index(room) >= ROOMS.index("testing"), module


@pytest.mark.parametrize(
    ("room", "path"), [pytest.param(*source, id="/".join(source[1].parts[-2:])) for source in sources()]
)
def test_each_third_party_library_has_one_door(room: str, path: Path) -> None:
    for module in imports_of(path):
        library = module.partition(".")[0]
        if library in sys.stdlib_module_names or library == "acytoo_sdk" or library in TYPING_ONLY:
            continue
        assert room in DOORS.get(library, ()), module


@pytest.mark.parametrize("room", SANS_IO)
def test_the_sans_io_rooms_name_no_module_that_does_io(room: str) -> None:
    for module in imports_of(PACKAGE / f"{room}.py"):
        names = [module.rpartition(".")[0], module]
        assert not set(names) & set(DOES_IO), module
        assert module.partition(".")[0] in {*sys.stdlib_module_names, "acytoo_sdk"}
        assert module.partition(".")[0] not in {"time", "os", "random", "io", "pathlib"}


def test_the_protocol_runs_where_nothing_that_does_io_is_loaded() -> None:
    loaded = run(
        "import sys; before = set(sys.modules); import acytoo_sdk.protocol as p; r = p.ReplyReader();"
        "r.receive_head(200, {}); r.receive_data(b'Hi'); r.receive_eof(); p.build_request('Hi');"
        "print(*set(sys.modules) - before)"
    ).split()

    assert "acytoo_sdk.protocol" in loaded
    assert not set(loaded) & set(DOES_IO)
    assert {name for name in loaded if name.startswith("acytoo_sdk.")} == {f"acytoo_sdk.{room}" for room in SANS_IO}


@pytest.mark.parametrize("code", ["import acytoo_sdk", "from acytoo_sdk import Client; Client('http://127.0.0.1:1')"])
def test_importing_and_making_a_client_load_no_third_party_library(code: str) -> None:
    loaded = run(f"{code}\nimport sys; print(*sys.modules)").split()

    assert not {name.partition(".")[0] for name in loaded} & set(DOORS)


def test_importing_the_package_loads_none_of_its_rooms_but_the_version() -> None:
    loaded = run("import acytoo_sdk, sys; print(*sys.modules)").split()

    assert {name for name in loaded if name.startswith("acytoo_sdk.")} == {"acytoo_sdk._version"}


def test_the_public_names_are_the_promised_ones() -> None:
    built = {name for name in PROMISED if (PACKAGE / f"{NOT_BUILT_YET.get(name, 'errors')}.py").exists()}

    assert built <= set(acytoo_sdk.__all__) <= {*PROMISED, "__version__"}
    assert list(acytoo_sdk.__all__) == sorted(acytoo_sdk.__all__)
    assert set(acytoo_sdk.__all__) <= set(dir(acytoo_sdk))


@pytest.mark.parametrize("name", acytoo_sdk.__all__)
def test_every_public_name_is_there_and_known_to_type_checkers(name: str) -> None:
    value = getattr(acytoo_sdk, name)
    assert value is getattr(acytoo_sdk, name)
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))

    declared = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert name in declared
    assert name == "__version__" or value.__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(acytoo_sdk, "Nothing")  # noqa: B009 - a type checker knows that it is not there


def documented() -> Iterator[tuple[str, object]]:
    """Every public class and function, and their public methods, by name."""
    from acytoo_sdk import protocol, testing

    public = {name: getattr(acytoo_sdk, name) for name in acytoo_sdk.__all__ if name != "__version__"}
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


# A generator's methods, as everybody knows them.
KNOWN = {"send", "throw", "close", "asend", "athrow", "aclose"}


def names_of_public_docstrings() -> list[str]:
    return [
        name for name, value in documented() if inspect.isroutine(value) or inspect.isclass(value) or is_method(value)
    ]


def is_method(value: object) -> bool:
    return isinstance(value, (property, staticmethod, classmethod))


@pytest.mark.parametrize("name", names_of_public_docstrings())
def test_every_public_name_has_a_docstring_that_begins_with_a_summary(name: str) -> None:
    if name.rpartition(".")[2] in KNOWN:
        return
    doc = getattr(dict(documented())[name], "__doc__", None) or ""

    assert doc.strip()
    assert inspect.cleandoc(doc).split("\n\n")[0].rstrip().endswith((".", ":", ")"))


@pytest.mark.parametrize("name", names_of_public_docstrings())
def test_a_docstring_explains_every_argument(name: str) -> None:
    """In a section of its own, or, where that would only repeat the summary, in the summary."""
    value = dict(documented())[name]
    if inspect.isclass(value) and (dataclasses.is_dataclass(value) or name in MADE_BY_THE_PACKAGE):
        return  # its attributes are explained, and who makes it is not the user
    if inspect.isclass(value) and issubclass(value, acytoo_sdk.AcytooError):
        return
    doc, parameters = getattr(value, "__doc__", None) or "", parameters_of(value)
    explained = section(doc, "Args")

    if explained:
        assert [each for each in parameters if not re.search(rf"\b{each}\b.*:", explained)] == []
    elif "same arguments" not in doc and name.rpartition(".")[2] not in KNOWN:
        required = [each for each, must in parameters.items() if must]
        assert len(required) <= 1 or [each for each in required if f"`{each}`" not in doc] == []


@pytest.mark.skipif(not (PACKAGE.parent / "setup.cfg").exists(), reason="an installed package has no folder around it")
def test_the_top_level_holds_what_the_design_names_and_nothing_else() -> None:
    named = {"setup.cfg", "setup.py", "README.md", "CHANGELOG.md", "acytoo_sdk", "tests"}
    made_by_tools = {"acytoo_sdk.egg-info", "build", "dist", "htmlcov", "__pycache__"}

    found = {path.name for path in PACKAGE.parent.iterdir() if not path.name.startswith(".")}

    assert found <= named | made_by_tools
    assert {"setup.cfg", "setup.py", "acytoo_sdk", "tests"} <= found
