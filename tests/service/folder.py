"""A machine that is a folder: what would be done to a real one is written down."""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from logger.service.machine import Answer, Machine

RUNNING = "ActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\nActiveEnterTimestampMonotonic=1\n"


@dataclass(frozen=True)
class Folder(Machine):
    done: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    is_root: bool = True
    has_systemd: bool = True
    passed: list[float] = field(default_factory=lambda: [0.0])

    @classmethod
    def at(cls, path: Path, *, systemd: bool = True) -> "Folder":
        for name in ("etc", "var/lib", "usr/local/bin", *(["run/systemd/system"] if systemd else [])):
            (path / name).mkdir(parents=True, exist_ok=True)
        (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (path / "etc/group").write_text("root:x:0:\n")
        return cls(root=path, environ={})

    def ask(self, *command: str, environ: Mapping[str, str] | None = None, patience_s: float = 60) -> Answer:
        del environ, patience_s
        words = " ".join(command)
        self.done.append(words)
        if command[0] == "groupadd":
            self._append("etc/group", f"{command[-1]}:x:990:\n")
        if command[0] == "useradd":
            self._append("etc/passwd", f"{command[-1]}:x:990:990::/:/\n")
        if words.startswith("systemctl enable"):
            wants = self.path("/etc/systemd/system/multi-user.target.wants/envoylog.service")
            wants.parent.mkdir(parents=True, exist_ok=True)
            wants.symlink_to("/etc/systemd/system/envoylog.service")
        found = next((answer for part, answer in self.answers.items() if part in words), None)
        return found() if found else Answer(0, "", "")

    def own(self, path: Path, user: str, group: str, mode: int | None = None) -> None:
        self.owners["/" + str(path.relative_to(self.root))] = f"{user}:{group}"
        if mode is not None:
            path.chmod(mode)

    def wait(self, seconds: float) -> None:
        self.passed[0] += seconds

    def passed_s(self) -> float:
        return self.passed[0]

    def mode(self, absolute: str) -> int:
        return stat.S_IMODE(self.path(absolute).stat().st_mode)

    def _append(self, name: str, line: str) -> None:
        with (self.root / name).open("a") as file:
            file.write(line)
