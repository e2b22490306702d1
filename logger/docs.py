"""The documentation's pages, which travel with the package and can be read offline."""

import difflib
from pathlib import Path

from logger.errors import UsageError

_PACKAGE = Path(__file__).parent


def folder() -> Path:
    """Return where the pages lie: inside the wheel, or in the checkout."""
    shipped = _PACKAGE / "pages"
    return shipped if shipped.is_dir() else _PACKAGE.parent / ".github" / "docs"


def topics() -> dict[str, str]:
    """Return each topic and its page's title."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder().glob("*.md"))}
    return {topic: text.partition("\n")[0].removeprefix("# ") for topic, text in pages.items()}


def page(topic: str) -> str:
    """Return the page of a topic, as Markdown.

    Raises:
        UsageError: there is no such topic.
    """
    known = list(topics())
    if topic not in known:
        near = difflib.get_close_matches(topic, known, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"There is no page {topic!r}.{meant} There are: {', '.join(known)}.")
    return (folder() / f"{topic}.md").read_text(encoding="utf-8")
