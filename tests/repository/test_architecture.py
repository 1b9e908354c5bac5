"""Rooms of the relay, checked against the imports of every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import relay

PACKAGE = Path(relay.__file__).parent
PATHS = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
MODULES = {module: ast.parse(path.read_text()) for module, path in PATHS.items()}
MAX_LINES = 250

# From the ground up. "top" are the files in relay/ itself, "__init__" is the public API. A module
# imports modules of its own room and of the rooms before it.
ROOMS = ["protocol", "transport", "limits", "client", "top", "pairing", "server"]
ROOMS += ["__init__", "daemon", "cli", "__main__"]

FOUNDATIONS = {"protocol", "transport", "limits", "client"}
"""Rooms that import only their own modules."""

PURE = {"protocol", "limits", "top"}
"""Rooms without trio, clock and I/O. Time is an argument."""

PROCESS = {"daemon", "cli", "__main__"}
"""Rooms that may use the environment, signals, output and the logging setup."""

# The standard library in pure rooms: no clock, no file, no environment, nothing that waits.
HARMLESS = {
    "__future__",
    "abc",
    "base64",
    "binascii",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "http",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "re",
    "struct",
    "typing",
    "urllib.parse",
}

# Libraries that are sans-IO as they are used.
BORROWED = {
    "protocol": {
        "email.utils",
        "h11",
        "websockets.frames",
        "websockets.speedups",
        "websockets.utils",
    }
}

# The rooms that may import a library.
KEEPERS = {
    "asyncio": set[str](),
    "cryptography": {"client"},
    "gc": {"cli"},
    "h11": {"protocol", "cli"},
    "prometheus_client": {"daemon"},
    "segno": {"cli"},
    "signal": {"daemon", "cli"},
    "socket": {"transport", "client", "daemon", "cli"},
    "ssl": {"transport", "client", "daemon", "cli"},
    "structlog": {"daemon", "cli"},
    "threading": set[str](),
    "time": {"transport", "server", "daemon", "cli"},
    "trio_websocket": {"client", "cli"},
    "typer": {"cli"},
    "websockets": {"protocol"},
    "wsproto": set[str](),
}
# The standard library in modules that prepare the process before the command line is imported.
QUICK = {"__future__", "contextlib", "errno", "importlib", "io", "os", "select", "signal", "sys"}

# Public in spite of their names: they are documented.
DOCUMENTED = {"_asdict", "_exit"}

EXTRA = {"cryptography", "segno"}
"""Libraries of the extra `client`."""

REQUIRED = {
    "h11",
    "prometheus_client",
    "structlog",
    "trio",
    "trio_websocket",
    "typer",
    "websockets",
}


def room_of(module: str) -> str:
    """Return the room of a module."""
    first = module.partition(".")[0]
    return first if first in ROOMS else "top"


def libraries(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, without the relay's own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


def packages(tree: ast.Module) -> set[str]:
    """Return the top-level packages of the imported libraries."""
    return {name.partition(".")[0] for name in libraries(tree)}


def own_imports(module: str, *, at_import: bool = False) -> set[str]:
    """Return the modules of the relay that a module imports, or only those imported at its top."""
    parents = module.split(".")
    if PATHS[module].stem != "__init__" or module == "__init__":
        parents.pop()
    found = set[str]()
    for node in MODULES[module].body if at_import else ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= len(parents) + 1, ast.unparse(node)
            base = parents[: len(parents) + 1 - node.level]
            base += [node.module] if node.module else []
            for alias in node.names:
                submodule = ".".join([*base, alias.name])
                found.add(submodule if submodule in MODULES else ".".join(base))
    return found


def is_allowed(importer: str, imported: str) -> bool:
    """Return True if a room may import another one."""
    if importer == imported:
        return True
    return importer not in FOUNDATIONS and ROOMS.index(imported) < ROOMS.index(importer)


def names(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module uses, and the plain names that it calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield f"{node.func.id}()"


def is_private(name: str) -> bool:
    """Return True if a name is private to its owner."""
    return name.startswith("_") and not name.endswith("__")


def test_rooms() -> None:
    """Every package in relay/ is a room."""
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} <= {*ROOMS}


def test_few_files_beside_the_rooms() -> None:
    """The package itself has at most seven modules."""
    assert len([*PACKAGE.glob("*.py")]) <= 7


def test_order() -> None:
    """A module imports its own room and the rooms before it, and nothing else of the relay."""
    against = {
        (module, other)
        for module in MODULES
        for other in own_imports(module)
        if not is_allowed(room_of(module), room_of(other))
    }
    assert against == set()


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle(room: str) -> None:
    """The modules of a room do not import each other in cycles."""
    members = [module for module in MODULES if room_of(module) == room]
    TopologicalSorter({module: own_imports(module) & {*members} for module in members}).prepare()


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) in PURE])
def test_pure_rooms(module: str) -> None:
    """A pure module imports no module that waits, reads or tells the time."""
    known = HARMLESS | BORROWED.get(room_of(module), set())
    assert libraries(MODULES[module]) <= known
    assert not {*names(MODULES[module])} & {"open()", "print()", "input()"}
    assert not any(
        isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(MODULES[module])
    )


@pytest.mark.parametrize("module", MODULES)
def test_libraries(module: str) -> None:
    """A module imports the libraries of its room, and names the relay's own modules relatively."""
    imported = packages(MODULES[module])
    assert imported <= REQUIRED | EXTRA | sys.stdlib_module_names
    assert {name for name in imported if room_of(module) not in KEEPERS.get(name, ROOMS)} == set()


def test_early_modules() -> None:
    """Modules that are imported before the command line import nothing slow."""
    early = {each for each in own_imports("__main__", at_import=True) if room_of(each) != "cli"}
    for module in {"__main__", *early}:
        assert libraries(MODULES[module]) <= QUICK


@pytest.mark.parametrize("module", [each for each in MODULES if room_of(each) not in PROCESS])
def test_process(module: str) -> None:
    """Only the process uses the environment, signals, output and the logging setup."""
    used = {*names(MODULES[module])}
    assert not used & {
        "breakpoint()",
        "exit()",
        "input()",
        "os.environ",
        "os.environb",
        "os.getenv",
        "os.putenv",
        "print()",
        "sys.argv",
        "sys.exit",
        "sys.stderr",
        "sys.stdout",
        "trio.open_signal_receiver",
        "trio.run",
    }
    assert not {name.rpartition(".")[2] for name in used} & {
        "addHandler",
        "basicConfig",
        "dictConfig",
        "setLevel",
    }


@pytest.mark.parametrize("module", MODULES)
def test_private_names(module: str) -> None:
    """Private attributes are used by their own object, and private names are not imported."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr in DOCUMENTED:
                continue
            assert isinstance(node.value, ast.Name), ast.unparse(node)
            assert node.value.id in {"self", "cls"}, ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            path = f"{getattr(node, 'module', None) or ''}"
            for name in (path, *(alias.name for alias in node.names)):
                assert not any(is_private(part) for part in name.split(".")), ast.unparse(node)


@pytest.mark.parametrize("module", MODULES)
def test_size(module: str) -> None:
    """Each file has at most the permitted number of lines."""
    assert len(PATHS[module].read_text().splitlines()) <= MAX_LINES
