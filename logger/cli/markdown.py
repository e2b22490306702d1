"""Pages of the documentation for the terminal: the Markdown that they use, as wide as the window."""

import re
import textwrap
from collections.abc import Iterator

import click

#: Longer lines are hard to read.
MOST_COLUMNS = 100
_LINK = re.compile(r"\[([^]]+)\]\(([^)]+)\)")
_ITEM = re.compile(r"( *)([-*]|\d+\.) (.*)")
#: Inline code is not broken at its spaces while lines are filled; this stands for them.
_HARD_SPACE = "\N{NO-BREAK SPACE}"


def render(text: str, width: int) -> str:
    """Return a page as text of so many columns, with styles that a terminal shows and a file is spared."""
    width = min(width, MOST_COLUMNS)
    lines = text.splitlines()
    return "\n".join(_blocks(lines, width)).rstrip() + "\n"


def _blocks(lines: list[str], width: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.lstrip().startswith("```"):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].lstrip().startswith("```"))
            yield from (f"    {code}".rstrip() for code in textwrap.dedent("\n".join(lines[at + 1 : end])).splitlines())
            at = end + 1
        elif line.startswith("#"):
            yield click.style(_plain(line.lstrip("# ")), bold=True, underline=line.startswith("# "))
            at += 1
        elif line.lstrip().startswith("|"):
            end = next((n for n in range(at, len(lines)) if not lines[n].lstrip().startswith("|")), len(lines))
            indent = _indent(line)
            yield from (f"{indent}{row}" for row in _table(lines[at:end], width - len(indent)))
            at = end
        elif not line.strip():
            yield ""
            at += 1
        else:
            end = next((n for n in range(at + 1, len(lines)) if _begins(lines[n])), len(lines))
            yield from _paragraph(lines[at:end], width)
            at = end


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _begins(line: str) -> bool:
    """Whether a line begins another block than the one before it."""
    return not line.strip() or line.lstrip().startswith(("#", "|", "```")) or _ITEM.match(line) is not None


def _paragraph(lines: list[str], width: int) -> Iterator[str]:
    found = _ITEM.match(lines[0])
    first = f"{found[1]}{found[2]} " if found else _indent(lines[0])
    words = " ".join([found[3] if found else lines[0], *lines[1:]])
    yield from _filled(words, width, first, " " * len(first))


def _filled(text: str, width: int, first: str = "", rest: str = "") -> Iterator[str]:
    """Yield lines of a text, whose code stays whole where it fits into a line."""
    short = re.compile(rf"`[^`]{{1,{width // 2}}}`")
    text = short.sub(lambda code: code[0].replace(" ", _HARD_SPACE), _unlinked(" ".join(text.split())))
    wrapped = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    inside = False
    for line in wrapped or [first]:
        # Code that was broken over two lines is styled in both.
        opened = f"`{line}" if inside else line
        inside = opened.count("`") % 2 == 1
        yield _styled(opened + "`" * inside).replace(_HARD_SPACE, " ")


def _table(lines: list[str], width: int) -> Iterator[str]:
    """Yield a table in columns where it fits, else each row as a heading and what is about it."""
    head, _, *rows = [[cell.replace("\\|", "|").strip() for cell in _cells(line)] for line in lines]
    widths = [max(len(_plain(row[n])) for row in [head, *rows]) for n in range(len(head))]
    before = sum(widths[:-1]) + 2 * (len(head) - 1)
    if before + widths[-1] <= width or before <= width // 2:
        yield click.style(_columns(head, [*widths[:-1], 0]).rstrip(), bold=True)
        for row in rows:
            yield from _row(row, widths, before, width)
        return
    for row in rows:
        yield from _filled(row[0], width)
        for title, cell in zip(head[1:-1], row[1:-1], strict=True):
            if cell:
                yield from _filled(f"{title}: {cell}", width, "    ", "    ")
        yield from _filled(row[-1], width, "    ", "    ")


def _row(row: list[str], widths: list[int], before: int, width: int) -> Iterator[str]:
    """Yield a row in columns, the last of which is as wide as there is room."""
    first, *more = _filled(row[-1], width - before)
    yield (_columns(row[:-1], widths) + "  " * (len(row) > 1) + first).rstrip()
    yield from (" " * before + line for line in more)


def _columns(cells: list[str], widths: list[int]) -> str:
    return "  ".join(
        _styled(_unlinked(cell)) + " " * (width - len(_plain(cell)))
        for cell, width in zip(cells, widths, strict=False)
    )  # fmt: skip


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip().strip("|"))


def _unlinked(text: str) -> str:
    """Return text whose links stand behind their words, those to another page as the command that shows it."""

    def written(link: re.Match[str]) -> str:
        words, target = link.groups()
        page = re.match(r"(?:\.github/docs/|docs/)?(\w+)\.md", target)
        if page and page[1].islower():
            return words if words == page[1] else f"{words} (`envoylog docs {page[1]}`)"
        return f"{words} ({target})" if target.startswith("http") else words

    return _LINK.sub(written, text)


def _plain(text: str) -> str:
    return click.unstyle(_styled(_unlinked(text)))


def _styled(text: str) -> str:
    text = re.sub(r"`([^`]*)`", lambda code: click.style(code[1], fg="cyan") if code[1] else "", text)
    text = re.sub(r"\*\*([^*]+)\*\*", lambda strong: click.style(strong[1], bold=True), text)
    return re.sub(r"<(https?://[^>]+)>", r"\1", text)
