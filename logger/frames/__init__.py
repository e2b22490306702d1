"""What was logged, as pandas frames: for analysts and notebooks.

The same figures as the views, on SQLite and on PostgreSQL, with an index of aware instants, and NaN where something is
not known. Nothing here writes.

Walk: views and raw tables -> here -> whoever imports ``logger``
"""

import os
from pathlib import Path

from logger import settings
from logger.errors import SettingsError
from logger.frames.database import Database, Energy, Samples
from logger.frames.ranges import Range
from logger.settings import urls

__all__ = ["Database", "Energy", "Range", "Samples", "where"]


def where(url: str | Path | None) -> str:
    """Return the URL of a database: of one that is named, of a file, or of the configuration.

    Raises:
        SettingsError: it can't be used, or nothing says where one is.
    """
    if isinstance(url, Path) or (url is not None and "://" not in url):
        return urls.of_file(Path(url).expanduser().absolute())
    if url is not None:
        return urls.absolute(url, Path.cwd())
    path = settings.find_config(None, os.environ)
    loaded = settings.load(path, os.environ)
    if path is None and {"database_url", "state_dir"}.isdisjoint(loaded.origins):
        raise SettingsError("There is no configuration here; name a database, as in logger.connect('envoylog.db').")
    return loaded.database_url
