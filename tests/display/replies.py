"""Replies: those that attack whoever shows them, and honest ones with what a reader should see."""

from __future__ import annotations

_OVER = 'onmouseover="alert(1)"'

# Mathematics that a front end puts back unescaped: here it would reach an attribute, were it one.
_IN_ATTRIBUTES = [
    f'[x](https://e.example/$"{_OVER}x="$)',
    f'https://e.example/$"{_OVER}x="$',
    f'<https://e.example/$"{_OVER}x="$>',
    f'<mailto:a@e.example?$"{_OVER}x="$>',
    f'<a$"{_OVER}x="$@e.example>',
    f'[x](<https://e.example/$"{_OVER}x="$>)',
    f"[x](https://e.example/ '$\"{_OVER}x=\"$')",
    f'[x](https://e.example/ "$\\"{_OVER}x=\\"$")',
    f'[x](https://e.example/ ($"{_OVER}x="$))',
    f'[x][a]\n\n[a]: https://e.example/$"{_OVER}x="$',
    f"[x][a]\n\n[a]: https://e.example/ '$\"{_OVER}x=\"$'",
    f'x[^1]\n\n[^1]: https://e.example/$"{_OVER}x="$',
    f'www.e.example/$"{_OVER}x="$',
    f'[x](https://e.example/$\n"{_OVER}x="$)',
    f'[x](https://e.example/$) [y](https://e.example/"{_OVER}x="$)',
    f'| a |\n|---|\n| https://e.example/$"{_OVER}x="$ |',
    f'# https://e.example/$"{_OVER}x="$',
    f'- > https://e.example/$"{_OVER}x="$',
    f'[x](https://e.example/$$"{_OVER}x="$$)',
    f'[x](https://e.example/\\("{_OVER}x="\\))',
    f'[x](https://e.example/\\\\("{_OVER}x="\\\\))',
    f'https://e.example/\\["{_OVER}x="\\]',
    f'[x](https://e.example/\\begin{{a}}"{_OVER}x="\\end{{a}})',
    f'![x](https://e.example/$"{_OVER}x="$)',
    f'![$"{_OVER}x="$](https://e.example/)',
    f'```$"{_OVER}x="$\nx\n```',
    f'[`$`](https://e.example/"{_OVER}x="$)',
]
_TEX = [
    "$\\unicode[serif;background:url(http://stranger.example/)]{x61}$",
    "$\\unicode[serif;position:fixed;top:0;left:0]{x61}$",
    '$$\\mmlToken{mtext}[href="javascript:alert(1)"]{x}$$',
    "$$\\mmlToken{mi}[onmouseover=alert(1)]{x}$$",
    "$\\bbox[background:url(http://stranger.example/)]{x}$",
    "\\[\\href{javascript:alert(1)}{x}\\]",
    "\\(\\style{position:fixed;top:0}{x}\\)",
    "$\\class{jp-Button}{x}$ $\\cssId{main}{x}$ $\\data{a=b}{x}$",
    "$\\require{html}\\href{javascript:alert(1)}{x}$",
    "$\\def\\alpha{\\beta}$ $\\newcommand{\\gamma}{1}$ $\\let\\sin=\\cos$ $\\renewcommand{\\pi}{3}$",
    "$\\newenvironment{matrix}{a}{b}$ $\\DeclareMathOperator{\\x}{y}$ $\\gdef\\x{y}$ $\\edef\\x{y}$",
    "$\\begin{align}x\\label{a}\\tag{1}\\end{align}$ \\ref{a} \\eqref{a}",
    "\\begin{align}\\href{javascript:alert(1)}{x}\\end{align}",
    "\\begin{array}{p{900em}}x\\end{array} \\begin{alignat}{99999999}x\\end{alignat}",
    "$\\text{a $\\href{javascript:alert(1)}{x}$ b}$ $$\\text{a \\(\\href{javascript:alert(1)}{x}\\)}$$",
    "$\\hspace{-90em}x\\kern-90em y\\raise90em{z}\\rule{90em}{90em}\\llap{x}\\smash{x}$",
    "$x\\\\[-90em]y$ $x\\\\ [90em]y$ $x\\\\*[90em]y$",
    "$a % \\) } \\href{javascript:alert(1)}{x}$",
    "$\\verb|$|\\href{javascript:alert(1)}{x}$",
    "$\\color{red}\\colorbox{red}{x}\\fcolorbox{a}{b}{c}\\definecolor{a}{rgb}{1,1,1}$",
    "$\\includegraphics{http://stranger.example/x.png}\\url{javascript:alert(1)}$",
    "$\\cancel[mathcolor=red]{x}\\enclose{circle}[style=x]{y}\\toggle{a}{b}\\endtoggle\\tooltip{a}{b}$",
    "$}\\href{javascript:alert(1)}{x}{$ $\\)\\href{javascript:alert(1)}{x}\\($",
    "$" + "{" * 500 + "}" * 500 + "$ $" + "\\left(" * 300 + "\\right)" * 300 + "$",
    '$\\char"3C script>$ $<img src=x onerror=alert(1)>$ $$</div><script>alert(1)</script>$$',
]
_LINKS = [
    "[x](javascript:alert(1)) [x](JaVaScRiPt:alert(1) 'title') [x](<javascript:alert(1)>)",
    "[x](\njavascript:alert(1)) [x](java\tscript:alert(1)) [x](\x01javascript:alert(1))",
    "[x](javascript&colon;alert(1)) [x](&#106;avascript:alert(1)) [x](javascript\\:alert(1))",
    "[x](vbscript:x) [x](data:text/html,<script>alert(1)</script>) [x](file:///etc/passwd) <data:x,y>",
    "<javascript:alert(1)> <vbscript:alert(1)>",
    "[y]\n\n  [y]:\n   javascript:alert(1)\n\n> [z]: data:text/html,x",
    "[x](//e.example) [x](/lab/api) [x](notes.ipynb) [x](?reset) [x](#id) [x](ftp://e.example)",
    "[x](https://bank.example@e.example/) [x](https:\\\\e.example) [x](https:e.example) [x](https:///e.example)",
    "![x](https://tracker.example/?q=secret) ![x](data:image/svg+xml,x) [![x](https://t.example/i)](https://e.example)",
    "![x][y]\n\n[y]: https://tracker.example/x.png",
    'https://e.example/"onmouseover="alert(1) https://e.example/\'onmouseover=\'alert(1)',
    "[x](https://e.example/?a=\"b&quot;c'd`e) [x](https://e.example/ \"a\\\"onclick=alert(1)\")",
]  # fmt: skip
_HTML = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)> <svg onload=alert(1)> <iframe src=javascript:alert(1)></iframe>",
    "a <b onclick=alert(1)>b</b> <!-- c --> <?php ?> <![CDATA[ x ]]> </p></div></div>",
    "<SCRIPT\n>alert(1)</SCRIPT>\n\n<style>*{display:none}</style>",
    "\\<script>alert(1)</script> \\\\<script> &lt;script&gt; &#60;script> &amp;lt;",
    "`<script>alert(1)</script>` `` a`<b> `` [x](`javascript:alert(1)`)",
    "```\n<script>alert(1)</script>\n```\n\n    <script>alert(1)</script>\n\n~~~html\n</pre><script>alert(1)</script>",
    '```"><script>alert(1)</script>\nx\n```\n\n```mermaid\ngraph TD; click A href "javascript:alert(1)"\n```',
    "- ```\n<script>alert(1)</script>\n\n> ```\n<script>alert(1)</script>\n> ```",
    "$\n```\n$\n<script>alert(1)</script>\n```\n\n$$\n\n```\n$$\n<script>alert(1)</script>\n```",
    "\\begin{x}\n\n```\n\\end{x}\n<script>alert(1)</script>\n```",
    "| <img src=x onerror=alert(1)> |\n|:-:\" onclick=alert(1)|\n\n999999999. x\n\n1\" onclick=\"alert(1). x",
    "</code></pre></div><script>alert(1)</script>\n```python\n</code></pre></div><script>alert(1)</script>\n```",
]  # fmt: skip
ATTACKS = [*_IN_ATTRIBUTES, *_TEX, *_LINKS, *_HTML]

# What is seen: without attributes but addresses, without spans; a formula stands between these brackets: ⟦x⟧, and one
# in lines of its own between these: ⟪x⟫.
HONEST = {
    "A loop: $i<n$, $0 < x$ and $a>b$.": "<p>A loop: ⟦i<n⟧, ⟦0 < x⟧ and ⟦a>b⟧.</p>",
    "Then $$x<y$$ holds.": "<p>Then ⟪x<y⟫ holds.</p>",
    "Area \\(\\pi r^2\\) and\n\n\\[\n\\int_0^1 x\\,dx = \\frac{1}{2}\n\\]\n":
        "<p>Area ⟦\\pi r^2⟧ and</p>⟪\n\\int_0^1 x\\,dx = \\frac{1}{2}\n⟫",
    "So:\n$$\na\n- b\n+ c\n= d\n$$\nDone.": "<p>So:</p>⟪\na\n- b\n+ c\n= d\n⟫<p>Done.</p>",
    "\\begin{align}\na &= b \\\\\nc &< d\n\\end{align}": "⟪\\begin{align}\na &= b \\\\\nc &< d\n\\end{align}⟫",
    "$$f(x)=\\begin{cases}1 & \\text{if $x>0$}\\\\[4pt] 0 & \\text{else}\\end{cases}$$":
        "⟪f(x)=\\begin{cases}1 & \\text{if $x>0$}\\\\[4pt] 0 & \\text{else}\\end{cases}⟫",
    "1. first\n   $$\n   x_1\n   $$\n2. $x_2$": "<ol><li>first⟪\nx_1\n⟫</li><li>⟦x_2⟧</li></ol>",
    "It costs $5, or $10 for two; US$20 at most.": "<p>It costs $5, or $10 for two; US$20 at most.</p>",
    "Set `$HOME` and `$PATH`, or $HOME and $PATH.":
        "<p>Set <code>$HOME</code> and <code>$PATH</code>, or $HOME and $PATH.</p>",
    "See <https://example.com/a>, https://example.com/b_c_(d)?e=1&f=2. (https://example.com/g)":
        "<p>See <a https://example.com/a>https://example.com/a</a>, <a https://example.com/b_c_(d)?e=1&f=2>"
        "https://example.com/b_c_(d)?e=1&f=2</a>. (<a https://example.com/g>https://example.com/g</a>)</p>",
    "[site](https://example.com/?a=1&b=$2 'title') and <me@example.com> and [mail](mailto:you@example.com).":
        "<p><a https://example.com/?a=1&b=$2>site</a> and <a mailto:me@example.com>me@example.com</a> and "
        "<a mailto:you@example.com>mail</a>.</p>",
    "[a] and [text][a]\n\n[a]: https://example.com":
        "<p><a https://example.com>a</a> and <a https://example.com>text</a></p>",
    "![A cat](https://example.com/cat.png)": "<p><a https://example.com/cat.png>A cat</a></p>",
    "https://ru.wikipedia.org/wiki/Чат":
        "<p><a https://ru.wikipedia.org/wiki/%D0%A7%D0%B0%D1%82>https://ru.wikipedia.org/wiki/Чат</a></p>",
    "# Title\n\nSome **bold**, *slanted*, ~~struck~~ and `co<de>`;  \nnext\nline\n\n---\n\n> quoted":
        "<h1>Title</h1><p>Some <strong>bold</strong>, <em>slanted</em>, <s>struck</s> and <code>co<de></code>;<br>next"
        "\nline</p><hr><blockquote><p>quoted</p></blockquote>",
    "- one\n  - two\n- three\n\n3. c\n4. d":
        "<ul><li>one<ul><li>two</li></ul></li><li>three</li></ul><ol><li>c</li><li>d</li></ol>",
    "| a | b |\n|:--|--:|\n| 1 \\| 2 | `x` |":
        "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1 | 2</td><td><code>x</code></td></tr>"
        "</tbody></table>",
    "```python\nif a < b:\n    print('$x$ <b> \\\\ &amp;')\n```":
        "<div><pre><code>if a < b:\n    print('$x$ <b> \\\\ &amp;')\n</code></pre></div>",
    "```\n\n<div class='a'>$x$</div>\n```\n\n    in_dented(*args)\n":
        "<div><pre><code>\n<div class='a'>$x$</div>\n</code></pre></div>"
        "<div><pre><code>in_dented(*args)\n</code></pre></div>",
    "a < b, AT&T, 1 <2> 3, <b>not bold</b>, \\<x>, &copy; and C:\\new":
        "<p>a < b, AT&T, 1 <2> 3, <b>not bold</b>, <x>, © and C:\\new</p>",
    "Formula $\\tag{1} x$ as written": "<p>Formula <code>$\\tag{1} x$</code> as written</p>",
    "Привет, **как** дела? 你好 😀": "<p>Привет, <strong>как</strong> дела? 你好 😀</p>",
    "```c++\nvector<int> v;": "<div><pre><code>vector<int> v;</code></pre></div>",
}  # fmt: skip
