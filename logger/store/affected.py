"""Whom something befalls of many gateways, so that it is logged once and not for each."""

import threading


class Affected:
    """The gateways of a process that something befalls: the first and the last of them are worth a line."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def add(self, name: str) -> bool:
        """Return whether it befell none until now."""
        with self._lock:
            is_first = not self._names
            self._names.add(name)
            return is_first

    def remove(self, name: str) -> bool:
        """Return whether it befalls none any more, and did until now."""
        with self._lock:
            is_last = self._names == {name}
            self._names.discard(name)
            return is_last
