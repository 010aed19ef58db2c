"""Code in parts that have colours, and as HTML with the classes that front ends of notebooks have styles for.

Those styles follow the theme, light or dark. Where a front end has none, code has the colour of the text around it. No
colour is chosen here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

# Code can be written so that a lexer takes very long for it. So code of more characters than this has no colours, nor
# has the rest of it after this many seconds.
_LONGEST = 10_000
_SECONDS = 0.1
_LANGUAGES = frozenset(
    """
    bash sh shell zsh powershell bat c cpp c++ csharp c# cs css clojure cmake dart diff docker dockerfile elixir
    fortran go graphql haskell html ini java javascript js jsx json julia kotlin latex tex lua make makefile
    markdown md matlab nginx perl php pycon python python3 py r ruby rb rust rs scala scss sql swift toml ts tsx
    typescript xml yaml yml
    """.split()  # noqa: SIM905
)


# Escaped are the characters of HTML, and those that mean something in Markdown: exports put the HTML into a document of
# Markdown, where it stays HTML only if it begins with a `<div>` and is one line.
_ESCAPES = str.maketrans({char: f"&#{ord(char)};" for char in "&<>\"'`\\$\n"})


def escaped(text: str) -> str:
    """Text as HTML, in one line, in which no character means anything."""
    return text.translate(_ESCAPES)


@lru_cache(maxsize=64)  # all of a text is written again each time it has grown
def highlighted(code: str, info: str) -> str:
    """Code as an element, to the letter; `info` is what its fence says, the language first."""
    shown = "".join(
        f'<span class="{name}">{escaped(part)}</span>' if name else escaped(part) for name, part in lexed(code, info)
    )
    return f'<div class="highlight"><pre><code>{shown}</code></pre></div>'


def lexed(code: str, info: str) -> Iterator[tuple[str, str]]:
    """Code in parts, each after Pygments' short name of what it is, or "". Joined, the parts are the code."""
    language = (info.split() or [""])[0].lower()
    done = 0
    if language in _LANGUAGES and len(code) <= _LONGEST:
        for name, part in _parts(code, language):
            done += len(part)
            yield name, part
    if done < len(code):
        yield "", code[done:]


def _parts(code: str, language: str) -> Iterator[tuple[str, str]]:
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES

    done, begun = 0, time.monotonic()
    for kind, part in get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(code):
        if not code.startswith(part, done) or time.monotonic() - begun > _SECONDS:
            break
        done += len(part)
        yield STANDARD_TYPES.get(kind, ""), part
