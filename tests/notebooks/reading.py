"""What a chapter owes to people who only read it: text, code, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from execute import VIEW, read
from figures import MIME as NUMBERED
from fill import MARK, MIME, Fill
from nbformat import NotebookNode

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "book"
CHAPTERS = sorted(p.stem for p in BOOK.glob("*.ipynb"))
TAUGHT = {"conditional.md", "playground.md"}  # pages with goals, predictions and exercises
PAGES = sorted(p.name for p in [*BOOK.glob("*.md"), BOOK.parent / "README.md"])

VISIBLE_LINES = 80  # two screens
CODE_WIDTH = 80  # what the page's column shows
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
CHECKED, UNCHECKED = "nbval-check-output", "nbval-ignore-output"

# -- numbers in the text -----------------------------------------------------------------------

FORMULA = re.compile(r"\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S)
NOT_PROSE = [
    re.compile(pattern, re.M | re.S)
    for pattern in (
        r"<data value=\"[^\"]*\"(?: title=\"[^\"]*\")?>.*?</data>",  # published by the run
        r"<!--.*?-->",
        r"<[a-z/][^>]*>",
        r"(?<![\\$])\$[^$\n]+(?:\n[^$\n]+)?\$",  # a formula: defined, not measured
        r"^\s*:[\w-]+:.*?$|^\s*(?::::*|```+|~~~+)(?:\{[^\n]*)?$",  # heads of directives
        r"`+[^`]+`+",  # code, and what a role leads to
        r"\]\([^)\s]*\)|https?://\S+",
        r"^#{1,6} .*?$",
        r"\*\*\d+\.\*\*|^\s*\d+\.(?=\s)",  # the numbers of exercises and lists
    )
]
NAMED = (
    r"fig(?:ure)?s?|tables?|eqs?|equations?|sections?|algorithms?|alg|chapters?|exercises?|"
    r"appendix|appendices|steps?|timesteps?|components?|seeds?|rows?|columns?|levels?|lines?"
)
ONE = r"\(?\d+[a-z]?\)?"
DEFINED = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"\b(?:{NAMED})\.?\s*{ONE}(?:(?:\s*,\s*|\s*,?\s+(?:and|to|or)\s+|\s*[–-]\s*){ONE})*",
        r"\b\d+(?:\s*[x×]\s*\d+)+(?:\s+pixels)?",
        r"\b\d+(?:\s+|-)(?:pixels?|px|bits?|[KMG]B)\b",
        r"\b(?:19|20)\d\d\b",
        r"\b[^\W\d]+[-/]?\d+\w*",  # part of a name: DDPM-256, ViT-L/14, CC0
        r"\b[1-4]-?D\b",
    )
]
PARTS = r"thirds?|quarters?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?"
COUNT = r"one|two|three|four|five|six|seven|eight|nine|ten|twenty|hundred"
THAN = r"as|more|less|larger|smaller|bigger|stronger|weaker|what|the|its|that"
WORDS = re.compile(
    rf"\b(?:{COUNT})[ -](?:{PARTS})\b|\b(?:{COUNT}) times (?:{THAN})\b|\bper ?cent\b", re.I
)


def typed(text: str) -> list[str]:
    """Results in prose that were typed by hand, each with the words around it.

    A number may stand in `code`, in a $formula$ (what is set or quoted, not measured), in the name
    of a thing (Fig. 3, equation 12, step 20, 64 pixels), or be published and filled in. In a
    paragraph or list item with `<!-- typed: why -->` nothing is looked for.
    """
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", _without_code(text)):
        if re.search(r"<!--\s*typed:\s*\w", block):
            continue
        for pattern in NOT_PROSE:
            block = pattern.sub(" ", block)
        for pattern in DEFINED:
            block = pattern.sub(" ", block)
        block = " ".join(block.split())
        for match in [*re.finditer(r"\d[\d.,]*", block), *WORDS.finditer(block)]:
            start, end = max(0, match.start() - 25), match.end() + 25
            found.append(block[start:end].strip())
    return found


def _without_code(text: str) -> str:
    """Code and displayed formulas may hold empty lines: they go before the text is cut."""
    kept: list[str] = []
    fences: list[tuple[str, bool]] = []  # what closes it, and whether it holds code
    for line in text.splitlines():
        fence = re.match(r" {0,3}(```+|~~~+|:::+)(.*)", line)
        if fence and fences and fence[1] == fences[-1][0] and not fence[2].strip():
            fences.pop()
        elif fence and not any(code for _, code in fences):
            directive = fence[2].lstrip().startswith("{") and "{code" not in fence[2]
            fences.append((fence[1], not directive and fence[1][0] != ":"))
            kept.append(line if directive else "")
        else:
            kept.append("" if any(code for _, code in fences) else line)
    return FORMULA.sub(" ", "\n".join(kept))


def wide(text: str) -> list[str]:
    """Lines of code in prose that a page cuts off at the right."""
    found, fence, code = [], "", False
    for line in text.splitlines():
        mark = re.match(r" *(```+|~~~+)(.*)", line)
        if mark and not fence:
            fence = mark[1]
            # a directive holds text, which is broken where the page ends
            code = not mark[2].lstrip().startswith("{") or "{code" in mark[2]
        elif mark and mark[1] == fence and not mark[2].strip():
            fence = ""
        elif fence and code and len(line) > CODE_WIDTH:
            found.append(line.strip())
    return found


# -- what stands at the top ----------------------------------------------------------------------

CHECKED_BY = r"predictions?|exercises? \d(?:(?:, | and )\d)*|games?|doors?"


def words(nb: NotebookNode) -> str:
    """The text of a chapter, without code and outputs."""
    return "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")


def top(text: str) -> list[str]:
    """What the beginning of a chapter lacks: the question, what it needs, and three goals."""
    beginning = re.split(r"^## ", text, flags=re.M)[0]
    found = []
    for mark, says in (
        (r"\*\*Before:\*\* \S", "**Before:**, what a reader should know"),
        (r"\*\*Needs:\*\* [^\n]*(?:second|minute)", "**Needs:**, with the running time"),
    ):
        if not re.search(mark, beginning):
            found.append(f"the beginning has no {says}")
    _, mark, after = beginning.partition("**After this page you can**")
    goals = re.findall(r"^\d\. (.*(?:\n   .*)*)", after.partition("<div")[0], re.M)
    if not mark or len(goals) != 3:
        return [*found, f"{len(goals)} goals stand after **After this page you can**, not three"]
    exercises = set(re.findall(r"^\*\*(\d)\.\*\* ★", text, re.M))
    for goal in goals:
        checks = re.search(rf"\(([^()]*\b(?:{CHECKED_BY})\b[^()]*)\)[;.]?$", goal)
        if not checks:
            found.append(f"goal without a check in brackets: {goal[:50]} …")
            continue
        for number in set(re.findall(r"\d", checks[1])) - exercises:
            found.append(f"a goal names exercise {number}, which is not there")
        if "prediction" in checks[1] and 'class="hsem-quiz"' not in text:
            found.append("a goal names a prediction, and there is none")
    return found


# -- captions ----------------------------------------------------------------------------------

MODEL = re.compile(r"portraits-64|ddpm-|\brenders?\b|\bdiscs\b|random weights")
COUNT = re.compile(
    r"\bseeds? [\d{]|\b(?:\d[\d,]*|one|two|three|four|five|six|seven|eight|nine|ten|twenty)"
    r"(?: (?:first|generated|held-out|inverted|new|of the|other|principal|random|stored))*"
    r" (?:faces|images?|pairs|people|person|photographs?|portraits?|renders?|repeats|samples?|discs"
    r"|strangers)\b",
    re.I,
)
# a network, its training, or a count of lines: nobody is shown or measured
NOBODY = {"fig-anatomy", "fig-unet", "fig-loss", "tab-holds", "tab-plan", "tab-settings"}


def captions(nb: NotebookNode) -> Iterator[str]:
    """Captions that do not say of which model, of how many people, or by which judge."""
    for cell in nb.cells:
        for output in cell.get("outputs", ()):
            data: dict[str, Any] = output.get("data", {})
            if NUMBERED in data:
                name, caption = data[NUMBERED]["name"], data[NUMBERED]["caption"]
                if not MODEL.search(caption):
                    yield f"{name}: the caption names no model"
                if name not in NOBODY and not COUNT.search(caption):
                    yield f"{name}: the caption says neither how many people nor which seeds"
            table = data.get("text/html", "")
            if "hsem-table" in table:
                heads = re.findall(r"<(?:caption|th)\b[^>]*>([^<]*)<", table)
                in_sd = any(re.search(r"\bsd\b", text) for text in heads)
                if in_sd and "judge" not in heads[0]:
                    yield f"cell {cell.id}: a table in sd whose caption names no judge"


# -- chapters ----------------------------------------------------------------------------------


def faults(path: Path) -> list[str]:
    """Everything that a reader of the stored chapter would stumble over."""
    nb = read(path)
    return [
        *top(words(nb)),
        *_text(nb, path),
        *_code(nb),
        *_outputs(nb),
        *_figures(nb),
        *captions(nb),
    ]


def page_faults(path: Path) -> list[str]:
    """The same of a page without code."""
    text = path.read_text("utf-8")
    long = [] if path.name == "README.md" else wide(text)  # GitHub's column is wider
    return [
        *(top(text) if path.name in TAUGHT else []),
        *(f"typed result: … {t} …" for t in typed(text)),
        *(f"code longer than {CODE_WIDTH} signs: {line[:50]} …" for line in long),
    ]


def stale(path: Path) -> list[str]:
    """Marks in a chapter or page whose text is not what was published."""
    fill = Fill(BOOK)
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        nb = read(path)
        before = [c.source for c in nb.cells]
        fill.notebook(nb)
        changed = [
            m[1]
            for old, cell in zip(before, nb.cells, strict=True)
            for m, n in zip(MARK.finditer(old), MARK.finditer(cell.source), strict=True)
            if m[0] != n[0]
        ]
    else:
        filled = fill.text(text, {})
        pairs = zip(MARK.finditer(text), MARK.finditer(filled), strict=True)
        changed = [m[1] for m, n in pairs if m[0] != n[0]]
    return [
        *(f"nobody publishes {name!r}" for name in fill.missing),
        *(f"{name!r} is not what the run published; `make numbers`" for name in changed),
    ]


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _text(nb: NotebookNode, path: Path) -> Iterator[str]:
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for found in typed(cell.source):
                yield f"cell {cell.id}: typed result: … {found} …"
            for line in wide(cell.source):
                yield f"cell {cell.id}: longer than {CODE_WIDTH} signs: {line[:50]} …"


def _code(nb: NotebookNode) -> Iterator[str]:
    code = [c for c in nb.cells if c.cell_type == "code"]
    seen = [c for c in code if not _tags(c) & FOLDED]
    lines = sum(bool(line.strip()) for c in seen for line in c.source.splitlines())
    if lines > VISIBLE_LINES:
        yield f"{lines} lines of code can be seen, more than two screens; fold with hide-input"
    for cell in code:
        if "remove-cell" in _tags(cell):
            continue
        long = [line for line in cell.source.splitlines() if len(line) > CODE_WIDTH]
        if long:
            yield f"cell {cell.id}: longer than {CODE_WIDTH} signs: {long[0].strip()[:50]} …"


def _outputs(nb: NotebookNode) -> Iterator[str]:
    checked = 0
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        is_checked = CHECKED in _tags(cell) or "# NBVAL_CHECK_OUTPUT" in cell.source
        checked += is_checked
        for output in cell.outputs:
            data = output.get("data", {})
            if columns(output.get("text", "")):
                yield f"cell {cell.id}: prints columns of numbers; show a viz.table"
            if any(len(line) > CODE_WIDTH for line in output.get("text", "").splitlines()):
                yield f"cell {cell.id}: prints a line longer than {CODE_WIDTH} signs"
            numbers = MIME in data or "hsem-table" in data.get("text/html", "")
            if numbers and not is_checked and UNCHECKED not in _tags(cell):
                yield f"cell {cell.id}: shows numbers, so it needs the tag {CHECKED}"
    if not checked:
        yield f"no cell has the tag {CHECKED}: nothing is compared when the chapter is run"


def columns(text: str) -> bool:
    """Whether three neighbouring lines stand in columns, with numbers."""
    run = 0
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        run = run + 1 if len(cells) > 1 and any(re.search(r"\d", c) for c in cells[1:]) else 0
        if run == 3:
            return True
    return False


def _figures(nb: NotebookNode) -> Iterator[str]:
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    referred = set(re.findall(r"\{numref\}`(?:[^`<]*<)?([\w-]+)>?`", text))
    for cell in nb.cells:
        if cell.cell_type != "code" or "hide-cell" in _tags(cell):
            continue
        for output in cell.outputs:
            data: dict[str, Any] = output.get("data", {})
            if NUMBERED in data:
                name = data[NUMBERED]["name"]
                if name not in referred:
                    yield f"cell {cell.id}: no sentence refers to {{numref}}`{name}`"
            elif 'class="hsem-blind"' in data.get("text/html", ""):
                continue  # a game of twenty pictures: its question says what is shown
            elif VIEW in data or "<img" in data.get("text/html", ""):
                yield f"cell {cell.id}: a picture without name= and caption=, so without a number"
