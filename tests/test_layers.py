"""Who may import whom; arrows point down only."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import logger
from logger.cli import COMMANDS, cli

PACKAGE = Path(logger.__file__).parent
#: from the bottom to the top; packages of one layer do not see each other
LAYERS = [
    {"errors"},
    {"clock", "docs"},
    {"readings"},
    {"settings"},
    {"gateway", "store", "ledger", "simulator"},
    {"rollups"},
    {"reports"},
    {"collector", "exports", "cookbook", "frames", "status"},
    {"demo", "lake", "notify", "service"},
    {"doctor", "setup"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part_of(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "logger" and len(pieces) > 1 else None


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {node.module, *names} if node.module == "logger" else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_import_points_down() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own.startswith("__"):
            continue
        for module in imports(path):
            other = part_of(module)
            if other in LEVEL and other != own and LEVEL[other] >= LEVEL[own]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert wrong == []


#: the engines' own modules, what opens them, the types of columns, the default database, and Grafana's plugins for each
KNOW_ENGINES = {
    f"store/{name}.py"
    for name in ("sqlite", "sqlite_file", "postgresql", "postgresql_lock", "database", "models", "grafana")
}
ENGINES = {"sqlite", "sqlite3", "postgresql", "postgres", "psycopg"}


def knows_an_engine(node: ast.AST) -> bool:
    """Whether code asks which engine it is, names one, uses its driver, or speaks its SQL."""
    if isinstance(node, (ast.Attribute, ast.Name)):
        return (node.attr if isinstance(node, ast.Attribute) else node.id) == "dialect"
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in ENGINES for alias in node.names)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value in ENGINES or node.value.startswith(("PRAGMA", "SET LOCAL"))
    return False


def test_only_the_engines_modules_know_which_database_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        name, source = str(path.relative_to(PACKAGE)), path.read_text()
        assert "SLF001" not in source or not name.startswith("store/"), name
        if name not in KNOW_ENGINES | {"settings/urls.py"}:
            lines = [node for node in ast.walk(ast.parse(source)) if knows_an_engine(node)]
            assert not lines, f"{name}: {[ast.unparse(node) for node in lines]}"


#: of the gateway: what reads documents, and what may do none of these
PURE = ["profile", "poll", "equipment", "devices", "anomalies", "quirks", "parse", "sources/*"]
INPUT_AND_OUTPUT = {"requests", "urllib3", "socket", "ssl", "time", "threading", "pathlib", "os"}


def test_what_reads_a_gateways_documents_does_no_input_or_output() -> None:
    paths = [path for name in PURE for path in (PACKAGE / "gateway").glob(f"{name}.py")]
    assert len(paths) >= 8
    pure = {f"logger.gateway.{path.stem}" for path in paths} | {f"logger.gateway.sources.{path.stem}" for path in paths}
    seams = {f"logger.gateway.{name}" for name in ("profile", "anomalies", "sources")}
    for path in paths:
        modules = imports(path)
        assert not {module.split(".")[0] for module in modules} & INPUT_AND_OUTPUT, path
        gateways = {module for module in modules if module.startswith("logger.gateway.")}
        assert gateways <= pure | seams, path


def test_only_endpoints_asks_a_gateway() -> None:
    for path in (PACKAGE / "gateway").glob("*.py"):
        makes = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "Http" not in makes or path.stem == "endpoints", path
        if path.stem not in {"http", "kept", "tls", "auth", "enlighten", "endpoints"}:
            assert not {module.split(".")[0] for module in imports(path)} & {"requests", "urllib3"}


def imported_by(*args: str) -> set[str]:
    """Return what a command of its own process has imported at its end."""
    code = (
        "import sys\n"
        "from logger.cli import run\n"
        f"run({list(args)!r})\n"
        "done = [n for n, m in sys.modules.items() if type(m).__name__ != '_LazyModule']\n"
        "print('\\n' + ' '.join(done))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "args", [["--help"], *([name, "--help"] for name in ("run", "report", "simulate", "db", "config"))]
)
def test_help_imports_nothing_that_takes_long(args: list[str]) -> None:
    assert imported_by(*args).isdisjoint({"sqlalchemy", "requests", "alembic", "ssl", "asyncio"})


def test_the_list_of_commands_imports_no_command() -> None:
    modules = {f"logger.cli.{module}" for module, _ in COMMANDS.values()}
    assert modules.isdisjoint(imported_by("--help"))


def test_the_list_of_commands_has_their_own_help() -> None:
    context = click.Context(cli)
    helps = {name: getattr(cli.get_command(context, name), "help", "") for name in COMMANDS}
    assert {name: text for name, (_, text) in COMMANDS.items()} == {
        name: re.split(r"(?<=[.?])\s", text, maxsplit=1)[0] for name, text in helps.items()
    }


def test_the_collector_imports_nothing_large_that_it_does_not_need() -> None:
    code = (
        "import sys, logger.cli.collect, logger.collector.service, logger.collector.wiring\n"
        "sys.exit(not {'pandas', 'numpy', 'zeroconf', 'alembic', 'jinja2', 'apprise'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
