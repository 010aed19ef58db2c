"""Markdown of replies: the same to the eye, code to the letter, and nothing in it that acts, in any renderer."""

from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acytoo_sdk._display.markdown import printable, safe_markdown, turns_as_markdown

NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <b onclick=alert(1)>b</b> <!-- c --> <?php ?> </p>",
    "<SCRIPT\n>alert(1)</SCRIPT>",
    "\\<script>alert(1)</script> \\\\<script> \\\\\\<script>",
    "<javascript:alert(1)>",
    "[x](javascript:alert(1))",
    "[x](\njavascript:alert(1))",
    "[x](JaVaScRiPt:alert(1) 'title')",
    "[x](<javascript:alert(1)>)",
    "[x]( < javascript:alert(1)>)",
    "[x](javascript&colon;alert(1)) [x](&#106;avascript:alert(1)) [x](javascript\\:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](\x01javascript:alert(1)) [x](\N{ZERO WIDTH NO-BREAK SPACE}javascript:alert(1))",
    "[x](vbscript:x) [x](data:text/html,<script>alert(1)</script>) [x](file:///etc/passwd)",
    "[x](https://a.example [y](javascript:alert(1)))",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "[y]\n\n  [y]:\n   javascript:alert(1)\n\n> [z]: data:text/html,x",
    "![x](https://tracker.example/?q=secret) ![x](data:image/svg+xml,x) \\![x](https://a.example/i)",
    "![x][y]\n\n[y]: https://tracker.example/x.png",
    "`<script>alert(1)</script>` `` a`<b> `` [x](`javascript:alert(1)`)",
    "\\`<script>alert(1)</script>`",
    "`\n\n<script>alert(1)</script>`",
    "```\n<script>alert(1)</script>\n```",
    "```html\n<script>alert(1)</script>",
    "```<script>\nx\n```\n~~~ [x](javascript:1)\nx\n~~~",
    "    ```\n\n```\nx\n```\n<script>alert(1)</script>\n",
    "  ```\n<script>alert(1)</script>\n- a\n\n  ```\n<script>alert(1)</script>\n  ```",
    "> ```\n<script>alert(1)</script>\n> ```\n",
    "- ```\n<script>alert(1)</script>\n",
    "$\n```\n$\n<script>alert(1)</script>\n```",
    "$$\n\n```\n$$\n<script>alert(1)</script>\n[x](javascript:alert(1)) ![x](https://a.example/i)\n```\n",
    "\\begin{x}\n\n```\n\\end{x}\n<script>alert(1)</script>\n```\n",
    "    <script>alert(1)</script>\n\n\t<b>",
    "$\\href{javascript:alert(1)}{x}$ \\\\href{javascript:alert(1)}{x} $\\style{x}{y} \\cssId{x}{y}$",
    '```mermaid\ngraph TD; A-->B; click A href "javascript:alert(1)"\n```',
    "```{raw} html\nx\n```",
    "&lt;script&gt; &#60;script> &amp;lt;",
    "<pre><code></code></pre><code>",
]
TOKENS = [
    *"<>[]()!:\\`~$&# \n\t-*>ax1", "```", "~~~", "\n\n", "    ", "](", "]:", "![", "$$", "<b>", "</", "<!--",
    "javascript:", "https://a.example", "\\href", "- ", "> ", "1. ", "\r\n", "\N{LINE SEPARATOR}", "\N{NO-BREAK SPACE}",
    "\x00", "&#60;",
]  # fmt: skip
REPLIES = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=40).map("".join),
    st.lists(st.sampled_from([*NASTY, *TOKENS]), max_size=6).map("".join),
)


def act(markdown: str) -> list[str]:
    """What could act in Markdown, whatever a renderer takes for code: found here in another way than there."""
    bare = re.sub(r"</?(pre|code)>", "§", markdown)
    found = re.findall(r"<[a-zA-Z/!?]", bare) + re.findall(r"!\[", bare)
    for target in re.findall(r"\]\([ \t\n]*([^\n]{0,40})", bare):
        destination = re.split(r"[ \t)]", target)[0]
        if not target.startswith(("https://", "http://", "mailto:")) and re.search(r"[:&\\<]", destination):
            found.append(target)
    return found + re.findall(r"\\(?:href|style|cssId)\b", bare)


class Acting(HTMLParser):
    """What could act in a page."""

    TAGS = """
        p pre code em strong del s a ul ol li h1 h2 h3 h4 h5 h6 blockquote hr br table thead tbody tr th td div span
    """.split()  # noqa: SIM905

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            scheme = re.match(r"[\x00-\x20]*([a-z\s]+):", value or "", re.IGNORECASE)
            if name.startswith("on") or (
                name in ("href", "src", "style") and scheme and scheme[1].lower() not in ("http", "https", "mailto")
            ):
                self.found.append(f"{name}={value}")
        if tag not in self.TAGS:
            self.found.append(tag)


def rendered(text: str) -> str:
    """What nbconvert makes of it: it keeps HTML, and sanitises nothing."""
    return str(pytest.importorskip("nbconvert.filters").markdown2html(text))


@pytest.mark.parametrize("reply", NASTY)
def test_nothing_in_a_reply_acts(reply: str) -> None:
    for text in (reply, f"Text\n{reply}", f"- {reply}", f"{reply}\n\n{reply}", reply.replace("\n", "\r\n")):
        markdown = safe_markdown(text)

        assert act(markdown) == []
        assert Acting(rendered(markdown)).found == []


@pytest.mark.parametrize("reply", NASTY)
def test_nothing_acts_however_far_a_reply_has_come(reply: str) -> None:
    for end in range(len(reply)):
        assert act(safe_markdown(reply[:end])) == []


@settings(max_examples=300, deadline=None)
@given(REPLIES)
def test_nothing_in_any_reply_acts(reply: str) -> None:
    assert act(safe_markdown(reply)) == []


@settings(max_examples=50, deadline=None)
@given(REPLIES)
def test_nothing_in_any_reply_acts_once_it_is_exported(reply: str) -> None:
    assert Acting(rendered(safe_markdown(reply))).found == []


@pytest.mark.parametrize(
    "reply",
    [
        "# Title\n\nSome **bold**, *slanted* and `code`; a [link](https://a.example/?a=1&b=2), [one]"
        "(mailto:a@b.example) and [a file](notes/one.ipynb).\n\n"
        "- one\n- two\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        "```python\nif a[0]:\n    print(x < 3, x<4)\n```\n",
        "1. first\n   ```sh\n   echo $HOME > file\n   ```\n2. second\n",
        "$x^2$ and \\(y\\), \\[z\\], 5 - 3 > 1\n",
        "[x]: https://a.example\n\nsee [x]\n",
        "    an indented line\n    and another\n",
    ],
)
def test_harmless_markdown_stays_as_it_is(reply: str) -> None:
    assert safe_markdown(reply) == reply


@pytest.mark.parametrize(
    "code",
    [
        "<div class='a'>&amp; &lt; $x$ *y* _z_ [a](b:c)</div>",
        "#include <stdio.h>\n\nint main() {\n    vector<int> a;\n}",
        "if (a <b) { return `x<y>`; }",
    ],
)
@pytest.mark.parametrize("layout", ["```html\n{}\n```\n", "~~~\n{}\n~~~\n", "```\n{}", "Text\n```js\n{}\n```\nText"])
def test_code_is_shown_to_the_letter(code: str, layout: str) -> None:
    page = rendered(safe_markdown(layout.replace("{}", code)))
    found = re.search(r"<pre[^>]*>(?:<span></span>)?(?:<code>)?(.*?)(?:</code>)?</pre>", page, re.DOTALL)

    assert found is not None
    assert html.unescape(re.sub(r"</?span[^>]*>", "", found[1])).rstrip("\n") == code


@pytest.mark.parametrize("code", ["vector<int>", "a&lt;b<c", "<b>*x*</b>", "![x](y)", "[a](b:c)"])
def test_a_span_of_code_is_shown_to_the_letter(code: str) -> None:
    page = rendered(safe_markdown(f"Use `{code}` here."))
    found = re.search(r"<code>(.*?)</code>", page)

    assert found is not None
    assert html.unescape(found[1]) == code


@pytest.mark.parametrize("text", ["a < b", "1 <2> 3 </x> <b>", "x \\<b> y", "AT&T &c."])
def test_html_in_prose_is_shown_as_text(text: str) -> None:
    page = rendered(safe_markdown(text))

    assert html.unescape(re.sub(r"</?p>", "", page)).strip() == text.replace("\\<", "<")


def test_control_characters_are_shown_and_line_ends_are_one_kind() -> None:
    assert printable("a\x1b[31m\r\nb\rc\u202ed\te") == "a\ufffd[31m\nb\nc\ufffdd\te"


def test_a_conversation_is_shown_turn_by_turn_and_each_turn_is_closed() -> None:
    markdown = turns_as_markdown([{"role": "user", "content": "```\nx"}, {"role": "assistant", "content": "<b>"}])

    assert markdown == "**user**\n\n```\nx\n```\n\n\n**assistant**\n\n&lt;b>"


@pytest.mark.parametrize(
    "part", ["`", "``x`", "\\", "<", "](", "]:", "[", "!", "> ", "- ", "\n \n", "\\<", "`\n", " ", "```\n"]
)
def test_the_time_it_takes_grows_no_faster_than_the_text(part: str) -> None:
    def seconds(text: str) -> float:
        begun = time.perf_counter()
        safe_markdown(text)
        return time.perf_counter() - begun

    short, long = part * 4_000, part * 32_000
    assert min(seconds(long) for _ in range(2)) < 0.05 + 24 * min(seconds(short) for _ in range(3))
