"""A page to look at: one HTML file that needs nothing else, with pictures as SVG, for screens and for two sheets of A4.

Walk: reports.page -> charts, words -> page.html -> here -> cli
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from logger import __version__
from logger.exports import language
from logger.exports.page import certainty, charts, words
from logger.reports.page import Page

_environment = Environment(
    loader=PackageLoader("logger.exports.page", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_environment.globals.update(words=words, charts=charts, certainty=certainty, say=language.say, language=language)


def to_html(pages: Sequence[Page]) -> bytes:
    """Return the pages of a month or year, one below the other, as one file."""
    title = f"{', '.join(page.site.name for page in pages)} · {words.period(pages[0])}"
    return render("page.html", pages=pages, title=title)


def render(template: str, **values: Any) -> bytes:
    """Return a template with what it shows."""
    text = _environment.get_template(template).render(**values, version=__version__)
    return "\n".join(line for line in map(str.strip, text.splitlines()) if line).encode() + b"\n"
