"""What users hold on to is written down in `public_api.txt` beside this file, and does not change unseen.

Names, signatures, fields, public bases and docstrings are recorded; where a thing is defined is not, so that a class
may get its members from wherever it likes. A change on purpose rewrites the record, which is then reviewed as the
change to the API that it is:

    python tests/promises/test_public_api.py --write
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import enum
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import ForwardRef, TypeGuard, TypeVar, is_typeddict

import pytest

import acytoo_sdk

RECORD = Path(__file__).with_name("public_api.txt")
MODULES = ("", ".errors", ".protocol", ".conversation", ".batch", ".events", ".provider", ".testing", ".notebook")
# Of the others, users import no name: the package's own ones, and what IPython calls.
IN_THE_README = ("", ".batch", ".events", ".testing", ".provider", ".protocol")
HEADING = "# The public API. Rewritten by: python tests/promises/test_public_api.py --write"
# Users get these from a client: what their constructors take is nobody's business.
MADE_BY_THE_PACKAGE = {"Stream", "AsyncStream", "Map", "AsyncMap"}
# The statements that a class can stand in.
SUPPORTED = """
    __enter__ __exit__ __aenter__ __aexit__ __iter__ __next__ __aiter__ __anext__ __await__ __call__ __len__ __getitem__
""".split()  # noqa: SIM905
# Their values change by themselves: with a release, and with calls.
VALUES_OF_THEIR_OWN = {"acytoo_sdk.__version__", "live"}


# What is public


def public_names(module: ModuleType) -> list[str]:
    """Those of `__all__`; without it, what a module defines, or imports as itself: `from .room import name as name`."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    assert module.__file__ is not None
    names = set(bound_names(ast.parse(Path(module.__file__).read_text("utf-8")).body))
    return sorted(name for name in names if not name.startswith("_") and not isinstance(vars(module)[name], TypeVar))


def bound_names(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield statement.name
        elif isinstance(statement, ast.ImportFrom):
            yield from (alias.name for alias in statement.names if alias.asname == alias.name)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def public_api() -> dict[str, str]:
    """Every public name, with what is promised of it."""
    modules = [import_module(f"{acytoo_sdk.__name__}{name}") for name in MODULES]
    found = [
        (f"{module.__name__}.{name}", getattr(module, name)) for module in modules for name in public_names(module)
    ]
    public = {value for _, value in found if is_class(value)}
    described: dict[str, str] = {}
    places: dict[type, str] = {}
    for place, value in found:
        if is_class(value) and places.setdefault(value, place) != place:
            described[place] = f"{place} = {places[value]}"
        elif is_class(value):
            described.update(class_entries(place, value, public))
        elif inspect.isfunction(value):
            described[place] = function_entry(place, value)
        else:
            described[place] = f"{place}{value_of(place, value)}"
    return described


def is_class(value: object) -> TypeGuard[type]:
    """Python 3.10 takes `list[str]` for one."""
    return isinstance(value, type) and not isinstance(value, GenericAlias)


# One entry each


def class_entries(place: str, cls: type, public: set[type]) -> Iterator[tuple[str, str]]:
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == acytoo_sdk.__name__]
    yield place, documented(f"class {place}({', '.join(public_bases(cls, public))})", own_docstring(cls))
    if is_typeddict(cls):
        for name, annotation in inspect.get_annotations(cls).items():
            optional = "" if name in cls.__required_keys__ else ", may be missing"  # type: ignore[attr-defined]
            yield f"{place}[{name!r}]", f"key {place}[{name!r}]: {annotated(annotation)}{optional}"
        return
    supported = [name for name in SUPPORTED if any(name in vars(base) for base in cls.__mro__[:-1])]
    if supported:
        yield f"{place} supports", f"{place} supports: {' '.join(supported)}"
    constructor = next((vars(base)["__init__"] for base in ours if "__init__" in vars(base)), None)
    if constructor and cls.__name__ not in MADE_BY_THE_PACKAGE and not issubclass(cls, enum.Enum):
        yield f"{place}()", f"constructor {place}{signature_of(constructor, bound=True)}"
    yield from sorted(members(place, cls, ours))


def members(place: str, cls: type, ours: list[type]) -> Iterator[tuple[str, str]]:
    """The public members, wherever they are defined in the package."""
    fields = {each.name: each for each in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    annotations: dict[str, object] = {}
    for base in reversed(ours):
        annotations |= inspect.get_annotations(base)
    for name in {*annotations, *(name for base in ours for name in vars(base))}:
        if name.startswith("_"):
            continue
        value = inspect.getattr_static(cls, name, inspect.Parameter.empty)
        key, type_ = f"{place}.{name}", f": {annotated(annotations[name])}" if name in annotations else ""
        if name in fields:
            yield key, f"field {key}{type_}{default_of(fields[name])}"
        elif isinstance(value, property):
            yield key, property_entry(key, value)
        elif isinstance(value, (classmethod, staticmethod)):
            kind, bound = type(value).__name__, isinstance(value, classmethod)
            yield key, function_entry(key, value.__func__, kind=f"{kind} ", bound=bound)
        elif inspect.isfunction(value):
            yield key, function_entry(key, value, bound=True)
        else:
            yield key, f"attribute {key}{type_}{value_of(name, value)}"


def function_entry(place: str, function: object, *, kind: str = "", bound: bool = False) -> str:
    waits = "async " if inspect.iscoroutinefunction(function) else ""
    head = f"{kind}{waits}def {place}{signature_of(function, bound=bound)}"
    return documented(head, own_docstring(function))


def property_entry(place: str, value: property) -> str:
    type_ = signature_of(value.fget, bound=True).removeprefix("() -> ") if value.fget else "never read"
    can_be = "".join(f", can be {verb}" for verb, able in (("set", value.fset), ("deleted", value.fdel)) if able)
    return documented(f"property {place}: {type_}{can_be}", own_docstring(value))


def public_bases(cls: type, public: set[type]) -> list[str]:
    """The nearest bases that have a name for users: those of the public API, and those from elsewhere."""
    if is_typeddict(cls):
        return ["TypedDict"]

    def nearest(cls: type) -> Iterator[type]:
        for base in cls.__bases__:
            if base in public or base.__module__.partition(".")[0] != acytoo_sdk.__name__:
                yield base
            else:
                yield from nearest(base)

    bases = [base for base in dict.fromkeys(nearest(cls)) if base.__name__ not in ("object", "Generic", "Protocol")]
    kept = [base for base in bases if not any(other is not base and issubclass(other, base) for other in bases)]
    marks = ["frozen dataclass"] if dataclasses.is_dataclass(cls) and is_frozen(cls) else []
    return [base.__name__ for base in kept] + marks


def is_frozen(cls: type) -> bool:
    return bool(cls.__dataclass_params__.frozen)  # type: ignore[attr-defined]


# The same text on every Python


def signature_of(function: object, *, bound: bool = False) -> str:
    """As it is called; annotations as they stand in the source."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parts: list[str] = []
    kinds = inspect.Parameter
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    for before, parameter in zip([None, *parameters], parameters, strict=False):
        if before is not None and before.kind is kinds.POSITIONAL_ONLY and parameter.kind is not kinds.POSITIONAL_ONLY:
            parts.append("/")
        starred = before is not None and before.kind in (kinds.VAR_POSITIONAL, kinds.KEYWORD_ONLY)
        if parameter.kind is kinds.KEYWORD_ONLY and not starred:
            parts.append("*")
        stars = "*" if parameter.kind is kinds.VAR_POSITIONAL else "**" if parameter.kind is kinds.VAR_KEYWORD else ""
        type_ = "" if parameter.annotation is kinds.empty else f": {annotated(parameter.annotation)}"
        default = "" if parameter.default is kinds.empty else f" = {shown(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{type_}{default}")
    if parameters and parameters[-1].kind is kinds.POSITIONAL_ONLY:
        parts.append("/")
    returned = "" if signature.return_annotation is kinds.empty else f" -> {annotated(signature.return_annotation)}"
    on_one_line = f"({', '.join(parts)}){returned}"
    if len(on_one_line) <= 80:
        return on_one_line
    return "\n        ".join(["(", *(f"{part}," for part in parts), f"){returned}"])


def annotated(annotation: object) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def shown(value: object) -> str:
    if value is ...:
        return "..."
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(map(repr, sorted(value)))}}})"
    text = repr(value)
    assert " at 0x" not in text, f"no two runs show {text} alike"
    return text


def default_of(field: dataclasses.Field[object]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f" = {getattr(field.default_factory, '__name__', 'made anew')}()"
    return "" if field.default is dataclasses.MISSING else f" = {shown(field.default)}"


def value_of(name: str, value: object) -> str:
    """The value of a constant; nothing for what is worked out, or counted, while the package runs."""
    if isinstance(value, enum.Enum):
        return f" = {value.value!r}"
    of_an_alias = type(value).__module__ in ("typing", "types", "collections.abc")
    plain = value is None or isinstance(value, (str, bytes, int, float, tuple, list, frozenset)) or of_an_alias
    return f" = {shown(value)}" if plain and name not in VALUES_OF_THEIR_OWN else ""


def own_docstring(value: object) -> str:
    doc = getattr(value, "__doc__", None) or ""
    written_by_dataclass = isinstance(value, type) and doc.startswith(f"{value.__name__}(")
    return "" if written_by_dataclass else inspect.cleandoc(doc)


def documented(head: str, doc: str) -> str:
    return "\n".join([head, *(f"    {line}".rstrip() for line in doc.splitlines())])


# The record


def as_text(api: dict[str, str]) -> str:
    return "\n\n".join([HEADING, *api.values()]) + "\n"


def from_text(text: str) -> dict[str, str]:
    """The entries of a record by their first lines: an entry goes on where a line is blank or indented."""
    entries: list[list[str]] = []
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            entries.append([])
        if entries:
            entries[-1].append(line)
    return {name_in(entry[0]): "\n".join(entry).rstrip() for entry in entries}


def name_in(head: str) -> str:
    """What the first line of an entry is about."""
    found = re.match(r"(.*?)(acytoo_sdk[\w.]*(?:\['\w+'\])?)(.*)", head)
    assert found, head
    before, name, after = found.groups()
    return f"{name}()" if before == "constructor " else f"{name} supports" if after.startswith(" supports") else name


def differences(recorded: dict[str, str], present: dict[str, str]) -> str:
    """What was added, removed and changed, for a person; "" if nothing was."""
    told = [f"added:   {head_of(present[name])}" for name in present if name not in recorded]
    told += [f"removed: {head_of(recorded[name])}" for name in recorded if name not in present]
    for name in recorded:
        if present.get(name, recorded[name]) != recorded[name]:
            lines = difflib.ndiff(recorded[name].splitlines(), present[name].splitlines())
            told += [f"changed: {name}", *(f"    {line}" for line in lines if not line.startswith(" "))]
    return "\n".join(line.rstrip() for line in told)


def head_of(entry: str) -> str:
    """An entry without its docstring, in one line."""
    first, *rest = entry.splitlines()
    parameters = [line.strip() for line in takewhile(lambda line: line.startswith(" " * 8), rest)]
    return f"{first}{' '.join(parameters)}".replace(",)", ")").replace(", )", ")")


ON_PURPOSE = "If this is meant, record it, and tell the users in CHANGELOG.md:"
ADVICE = f"{ON_PURPOSE} python {'/'.join(RECORD.parts[-3:-1])}/{Path(__file__).name} --write"


def test_the_public_api_is_the_recorded_one() -> None:
    told = differences(from_text(RECORD.read_text("utf-8")), public_api())

    if told:
        pytest.fail(f"The public API is not the one that is recorded.\n\n{told}\n\n{ADVICE}", pytrace=False)


def test_every_public_name_but_constants_is_in_the_readme_and_no_other() -> None:
    readme = (RECORD.parent.parent.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## Names\n")[2].partition("\n## ")[0]
    modules = [import_module(f"{acytoo_sdk.__name__}{name}") for name in IN_THE_README]
    public = {name for module in modules for name in public_names(module) if not re.fullmatch("[A-Z_]+|__.*", name)}
    listed = set(re.findall(r"`(\w+)`", table))
    assert public - listed == set()
    assert {name for name in listed - public if name[0].isupper()} == set()


def test_the_record_is_read_back_as_it_was_written() -> None:
    assert from_text(as_text(public_api())) == {name: entry.rstrip() for name, entry in public_api().items()}


def test_a_new_property_is_told_of_a_class_and_of_those_that_inherit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def colour(self: object) -> str:
        """As seen from outside."""
        return "red"

    before = public_api()
    monkeypatch.setattr(acytoo_sdk.Client, "colour", property(colour), raising=False)
    monkeypatch.setattr(acytoo_sdk.UnexpectedReplyError, "colour", property(colour), raising=False)

    assert differences(before, public_api()).splitlines() == [
        f"added:   property acytoo_sdk.{name}.colour: str"
        for name in ("Client", "DecodeError", "EmptyReplyError", "ReplyTooLargeError", "UnexpectedReplyError")
    ]


def test_a_changed_signature_and_docstring_and_a_removed_name_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(self: object, messages: str) -> str:
        """Waits."""
        return messages

    before = public_api()
    monkeypatch.setattr(acytoo_sdk.Client, "complete", complete)
    monkeypatch.delattr(acytoo_sdk.Client, "close")
    told = differences(before, public_api()).splitlines()

    assert told[0] == "removed: def acytoo_sdk.Client.close() -> None"
    assert told[1] == "changed: acytoo_sdk.Client.complete"
    assert "    + def acytoo_sdk.Client.complete(messages: str) -> str" in told
    assert "    +     Waits." in told
    assert not [line for line in told if line.startswith(("added", "changed"))][1:]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        RECORD.write_text(as_text(public_api()), "utf-8")
    else:
        sys.exit(f"usage: {ADVICE.rpartition('python ')[2]}")
