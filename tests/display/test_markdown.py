"""HTML of replies: what is meant can be read, code is there to the letter, and nothing acts, in any front end."""

from __future__ import annotations

import html
import re
import sys
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replies import ATTACKS, HONEST

from acytoo_sdk._display.characters import printable
from acytoo_sdk._display.markdown import safe_html, turns_as_html
from acytoo_sdk._display.tex import is_allowed

pytest.importorskip("markdown_it")

TOKENS = [
    *"<>[]()!:\\`~$&# \n\t-*>ax1|{}_=", "```", "~~~", "\n\n", "    ", "](", "]:", "![", "$$", "<b>", "</", "<!--",
    "javascript:", "https://a.example", "\\href{a}{b}", "- ", "> ", "1. ", "\r\n", "\N{LINE SEPARATOR}", "\\(", "\\)",
    "\\[", "\\]", "\\begin{align}", "\\end{align}", "\N{NO-BREAK SPACE}", "\x00", "&#60;", "|---|",
]  # fmt: skip
REPLIES = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=40).map("".join),
    st.lists(st.sampled_from([*ATTACKS, *HONEST, *TOKENS]), max_size=6).map("".join),
)
ADDRESS = re.compile(r"(https?://|mailto:)[!-;=?-~]+")
PLAIN = "p pre code em strong s ul li h1 h2 h3 h4 h5 h6 blockquote hr br table thead tbody tr".split()  # noqa: SIM905
ALLOWED: dict[str, dict[str, re.Pattern[str]]] = {
    "a": {"href": ADDRESS, "target": re.compile("_blank"), "rel": re.compile("noopener noreferrer")},
    "div": {"class": re.compile(r"mathjax_(ignore|process) tex2jax_\1|highlight")},
    "span": {"class": re.compile(r"mathjax_process tex2jax_process|[a-z0-9]{1,3}")},
    "ol": {"start": re.compile(r"\d{1,9}")},
    **{cell: {"style": re.compile("text-align:(left|center|right)")} for cell in ("th", "td")},
    **{tag: {} for tag in PLAIN},
}


class Page(HTMLParser):
    """A page of HTML, every element and attribute of which is allowed; `seen` is what a reader sees, as in HONEST."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen = ""
        self.open: list[str] = []
        self.closing: list[str] = []
        assert "\n" not in page
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        for name, value in attributes:
            assert ALLOWED[tag][name].fullmatch(value or ""), (tag, name, value)
        assert tag in ALLOWED
        process = "mathjax_process" in (given.get("class") or "")
        opening, closing = f"<{tag} {given.get('href', '')}".rstrip() + ">", f"</{tag}>"
        if process or "mathjax_ignore" in (given.get("class") or "") or tag == "span":
            opening = closing = ""
        self.seen += opening
        if tag not in ("br", "hr"):
            self.open.append("formula" if process else tag)
            self.closing.append(closing)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() in (tag, "formula")
        self.seen += self.closing.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "formula":
            brackets = {"\\(": "⟦⟧", "\\[": "⟪⟫"}[data[:2]]
            assert data[-2:] == {"\\(": "\\)", "\\[": "\\]"}[data[:2]]
            assert is_allowed(data[2:-2])
            data = f"{brackets[0]}{data[2:-2]}{brackets[1]}"
        elif "code" not in self.open:
            assert re.fullmatch(r"[^$\\]*|[$\\]+", data), "a mark of a formula stands beside other text"
        self.seen += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def test_there_are_enough_cases() -> None:
    assert len(ATTACKS) >= 60
    assert len(HONEST) >= 20


@pytest.mark.parametrize("reply", ATTACKS)
def test_nothing_in_a_reply_acts(reply: str) -> None:
    for text in (reply, f"Text\n{reply}", f"- {reply}", f"{reply}\n\n{reply}", reply.replace("\n", "\r\n")):
        Page(safe_html(text))


@pytest.mark.parametrize("reply", ATTACKS)
def test_nothing_acts_however_far_a_reply_has_come(reply: str) -> None:
    for end in range(min(len(reply), 300)):
        Page(safe_html(reply[:end], grows=True))


@settings(max_examples=3 * settings().max_examples)
@given(REPLIES, st.booleans())
def test_nothing_in_any_reply_acts(reply: str, grows: bool) -> None:
    Page(safe_html(reply, grows=grows))


@pytest.mark.parametrize(("reply", "seen"), HONEST.items())
def test_an_honest_reply_is_seen_as_it_is_meant(reply: str, seen: str) -> None:
    assert Page(safe_html(reply)).seen == seen


@pytest.mark.parametrize(
    "code",
    [
        "<div class='a'>&amp; &lt; $x$ *y* _z_ [a](b:c)</div>",
        "#include <stdio.h>\n\nint main() {\n    vector<int> a;\n}",
        "\n\nif (a <b) { return `x<y>`; }\n\n",
        "\tdef f(x): return f'{x}' # é \N{GRINNING FACE}",
        "x" * 30_000,
    ],
)
@pytest.mark.parametrize("language", ["", "html", "python", "c++", "console", "nonsense", "mermaid", "../x"])
def test_code_is_shown_to_the_letter(code: str, language: str) -> None:
    seen = Page(safe_html(f"Text\n```{language}\n{code}\n```\nText")).seen

    assert seen == f"<p>Text</p><div><pre><code>{code}\n</code></pre></div><p>Text</p>"


def test_code_in_a_known_language_has_the_classes_of_its_colours() -> None:
    assert '<span class="k">if</span>' in safe_html("```python\nif x: pass\n```")
    assert "<span" not in safe_html("```nonsense\nif x: pass\n```")


def test_code_that_is_meant_to_take_long_has_no_more_colours_after_a_while() -> None:
    begun = time.perf_counter()
    for language, part in (("java", "\n"), ("c", "\n"), ("csharp", "a\n"), ("typescript", "a.")):
        Page(safe_html(f"```{language}\n{part * 4_000}\n```"))

    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize(
    "tex",
    [
        "x<y", "\\frac{a}{b}\\\\[4pt] c", "\\begin{array}{c|c}a&b\\end{array}", "\\left(\\frac12\\right]", "\\\\ (a)",
        "50\\%\\ \\$\\{ \\}", "\\begin{alignedat}{2}a&b\\end{alignedat}", "\\operatorname*{argmax}_x f",
    ],
)  # fmt: skip
def test_ordinary_tex_is_allowed(tex: str) -> None:
    assert is_allowed(tex)


@pytest.mark.parametrize(
    "tex",
    [
        "", " ", "\\href{a}{b}", "\\Href", "{", "}", "}{", "\\left(", "\\right)", "{\\left(}\\right)", "\\(", "\\)",
        "\\]", "\\", "x\\", "a%b", "#1", "\\verb|x|", "\\\\[-5em]", "\\\\[99em]", "\\\\ [5em]",
        "\\\\\t[5em]", "\\\\*[5em]",
        "\\begin{array}{p{9em}}a\\end{array}", "\\begin{array}a\\end{array}", "\\begin{alignat}{99999}x\\end{alignat}",
        "\\begin {matrix}\\end{matrix}", "\\begin{a}\\end{a}", "\\end{matrix}", "\\begin{matrix}\\end{pmatrix}",
        "\\begin{matrix}{\\end{matrix}}", "\\!" * 21, "{" * 31 + "}" * 31, "x" * 4001, "\\label{a}", "\\tag{1}",
        "\\def\\a{}",
    ],
)  # fmt: skip
def test_tex_that_is_not_listed_or_not_balanced_is_not_allowed(tex: str) -> None:
    assert not is_allowed(tex)


@pytest.mark.parametrize(
    ("begun", "seen"),
    [
        ("Text\n\n| a |", "<p>Text</p><table><thead><tr><th>a</th></tr></thead></table>"),
        ("Text\n| a | b", "<p>Text</p><table><thead><tr><th>a</th><th>b</th></tr></thead></table>"),
        ("| a | b |\n|-", "<table><thead><tr><th>a</th><th>b</th></tr></thead></table>"),
        ("| a | b |\n|---|---|\n|", "<table><thead><tr><th>a</th><th>b</th></tr></thead></table>"),
        ("Text\n-", "<p>Text</p>"),
        ("|", ""),
        ("Text\n```", "<p>Text</p>"),
        ("$$\na\n- b", "<pre><code>$$\na\n- b</code></pre>"),
        ("```\n| a |", "<div><pre><code>| a |</code></pre></div>"),
    ],
)
def test_what_is_not_decided_yet_is_shown_calmly(begun: str, seen: str) -> None:
    assert Page(safe_html(begun, grows=True)).seen == seen


def test_a_table_that_grows_is_a_table_from_its_first_mark_on() -> None:
    reply = "Here:\n\n| a | b |\n|:--|---|\n| 1 | 2 |\n\nDone."
    for end in range(reply.index("|"), len(reply)):
        assert "|" not in Page(safe_html(reply[:end], grows=True)).seen


def test_what_the_parser_would_leave_out_is_shown_as_it_came() -> None:
    for text in ("[a]: https://a.example", "> " * 60 + "deep", "- " * 60 + "deep", "word " * 120_000):
        assert Page(safe_html(text)).seen == f"<pre><code>{text}</code></pre>"


def test_only_so_many_formulas_are_for_the_page_to_set() -> None:
    page = safe_html("$x$ " * 1_200)

    assert page == turns_as_html([{"role": "user", "content": "$x$ " * 1_200}]).replace(
        "<p><strong>user</strong></p>", ""
    )
    assert page.count("mathjax_process") == 1_000
    assert page.count("<code>") == 200


def test_control_characters_are_shown_and_line_ends_are_one_kind() -> None:
    assert printable("a\x1b[31m\r\nb\rc\u202ed\te") == "a\ufffd[31m\nb\nc\ufffdd\te"
    assert Page(safe_html("a\x1b[31mb\u202ec")).seen == "<p>a\ufffd[31mb\ufffdc</p>"


def test_a_conversation_is_shown_turn_by_turn_and_each_turn_is_closed() -> None:
    page = turns_as_html([{"role": "user", "content": "```\nx"}, {"role": "assistant", "content": "<b>"}])

    assert Page(page).seen == (
        "<p><strong>user</strong></p><div><pre><code>x</code></pre></div><p><strong>assistant</strong></p><p><b></p>"
    )


def test_in_a_document_of_markdown_the_page_stays_as_it_is() -> None:
    """Exports put it there: no blank line ends it, and nothing in it opens a formula, but the formulas."""
    exported = pytest.importorskip("nbconvert.filters").markdown2html
    for reply in (*ATTACKS, *HONEST):
        page = safe_html(reply)
        assert html.unescape(exported(page)).strip() == html.unescape(page).strip()
        assert not re.search(r"[$\\`]", page)


def test_without_the_parser_one_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from acytoo_sdk._display import markdown

    monkeypatch.setitem(sys.modules, "markdown_it", None)
    markdown._parser.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'acytoo-sdk\[notebook\]'") as caught:
        safe_html("x")
    assert caught.value.name == "markdown_it"


@pytest.mark.parametrize(
    "part",
    [
        "`", "``x`", "\\", "<", "](", "]:", "[", "!", "> ", "- ", "\n \n", "\\<", "`\n", " ", "```\n", "$", "$a", "$$",
        "$$\n", "\\(", "\\[", "\\[\n", "\\[\n\n", "\\begin{a}\n", "{", "https://", "http://a(", "http://a.",
        "|", "|a|\n", "*a_", "$\\",
    ],
)  # fmt: skip
def test_the_time_it_takes_grows_no_faster_than_the_text(part: str) -> None:
    def seconds(text: str) -> float:
        begun = time.perf_counter()
        safe_html(text, grows=True)
        return time.perf_counter() - begun

    short, long = part * 1_000, part * 8_000
    limit = 0.03 + 24 * min(seconds(short) for _ in range(3))
    assert any(seconds(long) < limit for _ in range(2))
