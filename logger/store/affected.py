"""Whom something befalls of many gateways, so that it is logged once and not for each."""

import threading


class Affected:
    """The gateways of a process that something befalls: the first and the last of them are worth a line."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._is_worse = False
        self._lock = threading.Lock()

    def add(self, name: str) -> bool:
        """Return whether it befell none until now."""
        with self._lock:
            is_first = not self._names
            self._is_worse = self._is_worse and not is_first
            self._names.add(name)
            return is_first

    def worsens(self) -> bool:
        """Return whether it got worse for the first time since it befell the first."""
        with self._lock:
            was_worse, self._is_worse = self._is_worse, True
            return not was_worse

    def remove(self, name: str) -> bool:
        """Return whether it befalls none any more, and did until now."""
        with self._lock:
            is_last = self._names == {name}
            self._names.discard(name)
            return is_last
