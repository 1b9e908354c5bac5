"""Who may know what: the rules of docs/design.md, held against the imports of every module."""

from __future__ import annotations

import ast
import sys
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

# From the bottom up. A module knows those of the layers below its own alone.
LAYERS = [
    ["address", "answers", "errors", "origin", "pace", "read_size", "setting"],
    ["dispositions", "regular_file", "standard_streams"],
    ["admission", "definitions", "frames", "head", "outcome", "query", "tls_failure", "token_file"],
    ["events", "rendezvous", "request", "settings", "splitter"],
    ["liveness"],
    ["kernel", "lookout", "statistics"],
    ["accepting", "entrance", "wire"],
    ["socket_wire", "stream_wire"],
    ["tls_wire"],
    ["wires"],
    ["closing"],
    ["endpoint"],
    ["door", "pair"],
    ["relay", "sweeper"],
    ["ghosts"],
    ["connection"],
    ["server"],
    ["__init__"],
    ["cli.log_writer", "cli.program"],
    ["cli.complaint", "cli.probe.hints", "cli.settings", "cli.target"],
    ["cli.activation", "cli.allowance", "cli.asking", "cli.descriptors", "cli.log_addresses"],
    ["cli.metrics", "cli.notify", "cli.options", "cli.tls", "cli.unix"],
    ["cli.health", "cli.listening", "cli.log_lines", "cli.logs", "cli.reference", "cli.scraping"],
    ["cli.probe", "cli.probe.dial", "cli.summary"],
    ["cli.probe.side"],
    ["cli.probe.attempt"],
    ["cli.probe.steps"],
    ["cli.probe.run"],
    ["cli.probe.report"],
    ["cli.probe.command", "cli.signals"],
    ["cli.start"],
    ["cli"],
    ["__main__"],
]
ORDER = [module for layer in LAYERS for module in layer]
PURE = [
    "address",
    "admission",
    "answers",
    "definitions",
    "errors",
    "events",
    "frames",
    "head",
    "liveness",
    "origin",
    "outcome",
    "pace",
    "query",
    "read_size",
    "rendezvous",
    "request",
    "setting",
    "settings",
    "splitter",
    "statistics",
    "tls_failure",
]

# All that a pure module may need of the standard library: nothing that reads a clock, a file or
# the environment, and nothing that waits.
HARMLESS = {
    "__future__",
    "abc",
    "base64",
    "binascii",
    "collections",
    "collections.abc",
    "dataclasses",
    "email.utils",
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

# What a pure module may need besides: pure itself, as it is used there.
BORROWED = {"frames": {"websockets.speedups", "websockets.utils"}, "head": {"h11"}}

# What is known in one module only, or in one package.
KEEPERS = {
    "trio_websocket": {"cli"},
    "h11": {"head"},
    "websockets": {"frames"},
    "prometheus_client": {"cli"},
    "structlog": {"cli"},
    "typer": {"cli"},
    "signal": {"cli", "dispositions"},
    "gc": {"cli"},
    "wsproto": set[str](),
    "asyncio": set[str](),
    "threading": set[str](),
    "time": {"cli", "door", "lookout"},
    "socket": {"cli"},
    "ssl": {"cli", "tls_wire"},
}
# Run before the command line is imported, and import nothing that takes long.
EARLY = {"__main__", "dispositions", "standard_streams"}
QUICK = {"__future__", "contextlib", "errno", "importlib", "io", "os", "select", "signal", "sys"}

# Public in spite of its name: it is documented.
PUBLIC = {"os._exit"}

REQUIRED = {
    "h11",
    "prometheus_client",
    "structlog",
    "trio",
    "trio_websocket",
    "typer",
    "websockets",
}


def imported(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, anywhere in it, without the relay's own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


def outside(tree: ast.Module) -> set[str]:
    """Return the packages that these modules are from."""
    return {name.partition(".")[0] for name in imported(tree)}


def inside(module: str) -> set[str]:
    """Return the modules of the relay that a module imports, anywhere in it."""
    parents = module.split(".")
    if PATHS[module].stem != "__init__" or module == "__init__":
        parents.pop()
    found = set[str]()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= len(parents) + 1, ast.unparse(node)
            base = parents[: len(parents) + 1 - node.level]
            targets = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]) for name in targets}
    return found


def place(module: str) -> str:
    """Return the module's package, if it is in one inside the relay, else the module."""
    return module.partition(".")[0]


def names(tree: ast.Module) -> set[str]:
    """Return every dotted name that a module uses, such as os.environ."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def calls(tree: ast.Module) -> set[str]:
    """Return the functions that a module calls by a plain name."""
    return {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def private(name: str) -> bool:
    """Return whether a name is none of a stranger's business."""
    return name.startswith("_") and not name.endswith("__")


def test_every_module_has_its_place() -> None:
    """A new module is given its layer before it is written."""
    assert sorted(MODULES) == sorted(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_layers(module: str) -> None:
    """A module imports what is below it, by its relative name, and nothing above."""
    level = next(level for level, layer in enumerate(LAYERS) if module in layer)
    assert inside(module) <= {name for layer in LAYERS[:level] for name in layer}
    assert "relay" not in outside(MODULES[module])


@pytest.mark.parametrize("module", PURE)
def test_pure_modules(module: str) -> None:
    """A pure module imports nothing that could wait, read or tell the time."""
    assert imported(MODULES[module]) <= HARMLESS | BORROWED.get(module, set())
    assert not calls(MODULES[module]) & {"open", "print", "input"}
    assert not any(
        isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(MODULES[module])
    )


@pytest.mark.parametrize("module", ["__init__", *sorted(EARLY)])
def test_early_modules(module: str) -> None:
    """The modules that prepare the process import nothing that takes long."""
    assert imported(MODULES[module]) <= QUICK


@pytest.mark.parametrize("package", KEEPERS)
def test_keepers(package: str) -> None:
    """A library that only some may know is imported by those, or inside those, alone."""
    known = {place(module) for module, tree in MODULES.items() if package in outside(tree)}
    assert known == KEEPERS[package]


@pytest.mark.parametrize("module", ORDER)
def test_dependencies(module: str) -> None:
    """A module imports the standard library and what the distribution requires, no more."""
    assert outside(MODULES[module]) <= REQUIRED | sys.stdlib_module_names


@pytest.mark.parametrize(
    "module", [module for module in ORDER if place(module) not in {"cli", *EARLY}]
)
def test_only_the_command_line_touches_the_process(module: str) -> None:
    """The environment, the signals, the logging set-up and the output are the command line's."""
    process = {
        "os.environ",
        "os.environb",
        "os.getenv",
        "os.putenv",
        "sys.argv",
        "sys.exit",
        "sys.stdout",
        "sys.stderr",
        "trio.open_signal_receiver",
        "trio.run",
    }
    used = names(MODULES[module])
    assert not used & process
    assert not {name.rpartition(".")[2] for name in used} & {
        "addHandler",
        "basicConfig",
        "dictConfig",
        "setLevel",
    }
    assert not calls(MODULES[module]) & {"print", "input", "exit", "breakpoint"}


@pytest.mark.parametrize("module", ORDER)
def test_nothing_private_of_others(module: str) -> None:
    """Private attributes are those of an object itself, and private names are not imported."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Attribute) and private(node.attr):
            if ast.unparse(node) in PUBLIC:
                continue
            assert isinstance(node.value, ast.Name), ast.unparse(node)
            assert node.value.id in {"self", "cls"}, ast.unparse(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            path = f"{getattr(node, 'module', None) or ''}"
            for name in (path, *(alias.name for alias in node.names)):
                assert not any(private(part) for part in name.split(".")), ast.unparse(node)


@pytest.mark.parametrize("module", ORDER)
def test_files_stay_small(module: str) -> None:
    """A file that grows past the limit holds two ideas."""
    assert len(PATHS[module].read_text().splitlines()) <= MAX_LINES
