"""What of TeX a formula may consist of: letters, numbers, and the commands listed here. All else is refused.

MathJax has commands that load, link, style, overlap or define something, and a definition holds in all other cells as
well. None of them is listed, nor is what numbers or names an equation, since those names are shared, too. Each token is
judged by itself, wherever it stands, so that nothing depends on how a renderer nests them.
"""

from __future__ import annotations

import re

LONGEST = 4_000  # characters of a formula
_DEEPEST = 30  # groups, pairs of delimiters, and environments inside each other
_MOST_NEGATIVE_SPACES = 20  # each of them moves what follows over what is before

_SYMBOLS = frozenset(",;:!> \n{}|%$#&_")
_WORDS = frozenset(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi
    chi psi omega varepsilon vartheta varpi varrho varsigma varphi varkappa digamma Gamma Delta Theta Lambda Xi Pi
    Sigma Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi varPi varSigma varUpsilon varPhi varPsi
    varOmega

    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf inj ker lg lim liminf limsup ln log
    max min mod bmod pmod pod Pr proj sec sin sinh sup tan tanh injlim projlim varliminf varlimsup operatorname

    sum prod coprod int iint iiint iiiint oint intop smallint bigcap bigcup bigodot bigoplus bigotimes bigsqcup
    biguplus bigvee bigwedge limits nolimits displaylimits

    pm mp times div ast star circ bullet cdot cap cup uplus sqcap sqcup vee wedge lor land setminus smallsetminus wr
    diamond triangleleft triangleright oplus ominus otimes oslash odot amalg dagger ddagger ltimes rtimes boxplus
    boxminus boxtimes boxdot centerdot divideontimes intercal dotplus Cap Cup barwedge veebar doublebarwedge
    circledast circledcirc circleddash leftthreetimes rightthreetimes curlyvee curlywedge bigcirc bigtriangleup
    bigtriangledown lhd rhd unlhd unrhd

    le leq ge geq ll gg lll ggg ne neq equiv sim simeq approx approxeq cong doteq doteqdot propto prec succ preceq
    succeq subset supset subseteq supseteq subsetneq supsetneq subseteqq supseteqq nsubseteq nsupseteq sqsubset
    sqsupset sqsubseteq sqsupseteq in ni owns notin not vdash dashv models vDash Vdash nvdash nvDash perp mid nmid
    parallel nparallel bowtie smile frown asymp lt gt leqslant geqslant leqq geqq nleq ngeq nless ngtr lneq gneq
    lesssim gtrsim lessgtr gtrless lessapprox gtrapprox precsim succsim preccurlyeq succcurlyeq nprec nsucc thicksim
    thickapprox backsim triangleq trianglelefteq trianglerighteq vartriangleleft vartriangleright circeq bumpeq
    Bumpeq eqcirc risingdotseq fallingdotseq coloneqq eqqcolon colon therefore because varpropto between pitchfork
    Subset Supset ncong nsim

    to gets leftarrow rightarrow uparrow downarrow leftrightarrow updownarrow Leftarrow Rightarrow Uparrow Downarrow
    Leftrightarrow Updownarrow longleftarrow longrightarrow longleftrightarrow Longleftarrow Longrightarrow
    Longleftrightarrow mapsto longmapsto hookleftarrow hookrightarrow nearrow searrow swarrow nwarrow leftharpoonup
    leftharpoondown rightharpoonup rightharpoondown rightleftharpoons leftrightharpoons upharpoonright
    downharpoonright implies impliedby iff nleftarrow nrightarrow nRightarrow nLeftarrow nLeftrightarrow leadsto
    rightsquigarrow twoheadrightarrow twoheadleftarrow leftrightarrows rightleftarrows rightrightarrows
    leftleftarrows circlearrowright circlearrowleft curvearrowright curvearrowleft dashrightarrow dashleftarrow
    multimap xleftarrow xrightarrow xleftrightarrow xRightarrow xLeftarrow xmapsto

    infty partial nabla forall exists nexists emptyset varnothing neg lnot top bot angle measuredangle
    sphericalangle triangle Box Diamond square blacksquare lozenge blacklozenge bigstar clubsuit diamondsuit
    heartsuit spadesuit flat natural sharp hbar hslash ell wp Re Im aleph beth gimel daleth imath jmath prime
    backprime complement eth mho S P dots ldots cdots vdots ddots dotsb dotsc dotsi dotsm dotso surd degree
    checkmark maltese backslash vert Vert lvert rvert lVert rVert lbrace rbrace lbrack rbrack langle rangle lfloor
    rfloor lceil rceil lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner

    left right middle big Big bigg Bigg bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr Biggm

    frac dfrac tfrac cfrac binom dbinom tbinom sqrt root of over choose atop stackrel overset underset overbrace
    underbrace overline underline overrightarrow overleftarrow overleftrightarrow substack boxed braket bra ket
    Braket phantom hphantom vphantom hline hdashline

    hat widehat check widecheck tilde widetilde acute grave dot ddot dddot ddddot breve bar vec mathring

    mathrm mathbf mathit mathsf mathtt mathbb mathcal mathscr mathfrak mathnormal boldsymbol bm pmb bf rm it cal
    text textbf textit textrm textsf texttt textnormal mbox mathop mathbin mathrel mathord mathopen mathclose
    mathpunct mathinner mathstrut displaystyle textstyle scriptstyle scriptscriptstyle

    quad qquad enspace enskip thinspace medspace thickspace negthinspace nonumber notag
    """.split()  # noqa: SIM905
)
_ENVIRONMENTS = frozenset(
    """
    matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array cases rcases dcases aligned alignedat gathered
    split align align* alignat alignat* gather gather* equation equation* multline multline* eqnarray eqnarray*
    flalign flalign*
    """.split()  # noqa: SIM905
)

_WITH_ARGUMENT = {"array", "alignat", "alignat*", "alignedat"}

_BEGIN = r"\\begin\{(?P<begun>[A-Za-z]+\*?)\}(?P<arguments> *(?:\[[tbc]\])? *(?:\{(?:[lcr|: ]{1,60}|\d)\})?)"
_END = r"\\end\{(?P<ended>[A-Za-z]+\*?)\}"
# A distance after it is a short one; any other bracket there could be read as one.
_NEW_ROW = r"\\\\(?:\[\d{0,2}(?:\.\d{1,2})?(?:pt|ex|mm)\]|\[\d?(?:\.\d{1,2})?em\]|(?![*\s]*\[))"
_COMMAND = r"\\(?:(?P<word>[A-Za-z]+)|(?P<symbol>[^A-Za-z\\]))"
_TOKEN = re.compile(rf"{_BEGIN}|{_END}|{_NEW_ROW}|{_COMMAND}|(?P<brace>[{{}}])|[^\\{{}}%#]")


def is_allowed(tex: str) -> bool:
    """Whether a formula, given without its delimiters, is short, balanced, and made of what is listed here."""
    if len(tex) > LONGEST or not tex.strip():
        return False
    open_ones: list[str] = []
    index = negative_spaces = 0
    while index < len(tex):
        token = _TOKEN.match(tex, index)
        if token is None or not _is_listed(token):
            return False
        index = token.end()
        opened, closed = _group(token)
        if opened:
            open_ones.append(opened)
        elif closed and (not open_ones or open_ones.pop() != closed):
            return False
        negative_spaces += token["symbol"] == "!" or token["word"] == "negthinspace"
        if len(open_ones) > _DEEPEST or negative_spaces > _MOST_NEGATIVE_SPACES:
            return False
    return not open_ones


def _is_listed(token: re.Match[str]) -> bool:
    environment, word, symbol = token["begun"] or token["ended"], token["word"], token["symbol"]
    if token["begun"] in _WITH_ARGUMENT and not token["arguments"].endswith("}"):
        return False
    if environment:
        return environment in _ENVIRONMENTS
    return word in _WORDS if word else symbol is None or symbol in _SYMBOLS


def _group(token: re.Match[str]) -> tuple[str | None, str | None]:
    """What a token opens, and what it closes."""
    if token["begun"] or token["ended"]:
        return token["begun"], token["ended"]
    name = token["word"] or token["brace"]
    return {"left": "right", "{": "}"}.get(name), name if name in ("right", "}") else None
