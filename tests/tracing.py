"""Follows a number through the program: which files give it a new form, in order."""

import re
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Engine, Row, event

import logger

PACKAGE = Path(logger.__file__).parent
#: They hand rows to the database for others.
CARRIERS = (
    "logger/store/database.py", "logger/store/rows.py", "logger/store/phase_samples.py", "logger/store/sqlite.py",
    "logger/store/postgresql.py",
)  # fmt: skip
#: How deep values are looked into.
DEPTH = 7


class Trace:
    """The files of ``logger`` in which a number took a new form.

    A form is where the number stands (field, key, or in text beside which name) and its unit. A
    function that is given a form which was not seen before was called by its maker; a function
    that returns one is its maker.
    """

    def __init__(self, numbers: Mapping[str, float], skip: Collection[str]) -> None:
        self._numbers = numbers
        self._skip = skip
        self.forms: dict[str, str] = {}  #: form -> the file that made it, in order

    @property
    def files(self) -> list[str]:
        """The makers in order; one that comes twice is one that the number came back to."""
        files = list(self.forms.values())
        return [file for n, file in enumerate(files) if n == 0 or file != files[n - 1]]

    def __str__(self) -> str:
        return "\n".join(f"{maker}: {form}" for form, maker in self.forms.items())

    def profile(self, frame: FrameType, what: str, value: Any) -> None:
        """See a call or a return: the function of ``sys.setprofile``."""
        if what == "return":
            maker, carried = _file(frame), [value]
        elif what == "call" and frame.f_back is not None:
            maker, carried = _file(frame.f_back), _arguments(frame)
        else:
            return
        if maker is None or maker.startswith("logger/simulator/"):
            return
        for part in carried:
            self._see(maker, part, "")

    def execute(self, *details: Any) -> None:
        """See the rows of a statement: the function of SQLAlchemy's ``before_cursor_execute``."""
        _, _, statement, rows, _, _ = details
        written = re.match(r"(?:INSERT INTO|INSERT OR IGNORE INTO|UPDATE) (\w+)", statement)
        if written is not None:
            frame: FrameType | None = sys._getframe()
            while frame is not None and (_file(frame) or CARRIERS[0]) in CARRIERS:
                frame = frame.f_back
            if frame is not None:
                self._see(str(_file(frame)), rows, f"row of {written[1]}")

    def _see(self, maker: str, value: Any, place: str) -> None:
        for name, unit in self._forms(value, place, 0):
            if name not in self._skip:
                self.forms.setdefault(f"{name} {unit}", maker)

    def _forms(self, value: Any, place: str, depth: int) -> Iterator[tuple[str, str]]:
        """Yield under which names and in which units the number is in a value at a place."""
        if isinstance(value, int | float):
            for unit, number in self._numbers.items():
                if place and abs(value - number) < 1e-6:
                    yield place, unit
        elif isinstance(value, str | bytes):
            text = value if isinstance(value, str) else value.decode(errors="replace")
            for unit, number in self._numbers.items():
                if found := re.search(rf'(\w*)"?[:;,] ?"?{number:.12g}\b', text):
                    yield found[1] or "text", f"{unit} as text"
        elif depth < DEPTH:
            for name, part in _parts(value):
                inner = place if place.startswith("row of") else name or place
                yield from self._forms(part, inner, depth + 1)


def _file(frame: FrameType) -> str | None:
    name = frame.f_code.co_filename
    return str(Path(name).relative_to(PACKAGE.parent)) if name.startswith(f"{PACKAGE}/") else None


def _arguments(frame: FrameType) -> list[Any]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [frame.f_locals.get(name) for name in names if name not in {"self", "cls"}]


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and parts of a value that is data; parts of lists and rows have no names."""
    if isinstance(value, dict):
        yield from ((key if isinstance(key, str) else "", part) for key, part in value.items())
    elif isinstance(value, list | set | frozenset | Row) or type(value) is tuple:
        yield from (("", part) for part in value)
    elif isinstance(value, tuple):
        fields = getattr(value, "_fields", ())
        yield from ((f"{type(value).__name__}.{field}", getattr(value, field)) for field in fields)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in value.__dataclass_fields__:
            if not field.startswith("_"):
                yield f"{type(value).__name__}.{field}", getattr(value, field, None)


@contextmanager
def following(engine: Engine, numbers: Mapping[str, float], skip: Collection[str] = ()) -> Iterator[Trace]:
    """Follow a number, given in each unit that it may take, until the block ends.

    Names in ``skip`` are others by which the gateway gives the same number.
    """
    trace = Trace(numbers, skip)
    event.listen(engine, "before_cursor_execute", trace.execute)
    threading.setprofile(trace.profile)
    sys.setprofile(trace.profile)
    try:
        yield trace
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        event.remove(engine, "before_cursor_execute", trace.execute)
