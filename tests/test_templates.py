"""Templates: names are filled in, and nothing else is."""

from __future__ import annotations

import pytest

from acytoo_sdk._templates import Template


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{a} and {b c}{a}", "1 and {x}1"),
        ("{{a}} {a}", "{a} 1"),
        ("{{{a}}}", "{1}"),
        ("no name", "no name"),
        ("", ""),
    ],
)
def test_each_name_is_replaced_by_its_value_once(text: str, filled: str) -> None:
    assert Template(text).fill({"a": 1, "b c": "{x}"}) == filled


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a!r}", "{a:>9}", "{a", "{a[}", "a}{b"])
def test_anything_but_names_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Template(text)


def test_nothing_is_evaluated() -> None:
    template = Template("{a.real} {a[0]} {1+1}")
    assert template.names == ("a.real", "a[0]", "1+1")
    with pytest.raises(KeyError, match=r"a\.real"):
        template.fill({"a": 1})
