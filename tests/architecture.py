"""The rules of the architecture, checked on source text: who imports whom, and what dvc.yaml must list."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FLOORS = [
    {
        "errors", "files", "config", "sections", "registry", "images", "protocols", "pictures", "card", "page", "resize", "layers",
        "schedule", "state", "pairs", "frechet", "download", "sharing",
        "published",
    },
    {"models", "metrics", "losses", "optimizers", "sources", "shards"},
    {
        "batches", "run", "failures", "preparation", "testsets", "checkpoint", "inference", "receptive", "cost", "features",
        "perceptual", "reference", "structure", "comparison", "figures",
        "diagrams", "ablation",
    },
    {"training", "evaluation", "trained", "tables", "report", "datacard", "gallery", "findings"},
]  # fmt: skip
LEAVES = ("models", "metrics", "losses", "optimizers", "sources")  # folders of leaf files, loaded by name
BY_NAME = {
    "models": "pipeline/models/${item.arch}.py",
    "losses": "pipeline/losses/${item.loss}.py",
    "optimizers": "pipeline/optimizers/${item.optimizer}.py",
    "sources": "pipeline/sources/${dataset.source}.py",
    "metrics": "pipeline/metrics",
}
NO_RESULT = {
    "pipeline/config.py",
    "pipeline/sections.py",
    "stages/machine.py",
    "stages/progress.py",
    "stages/stopping.py",
}  # may reject, show or stop, never alter
LOCK = "requirements-numerics.lock"
FUNCTION_LINES, FILE_LINES = 40, 200


parsed = cache(ast.parse)  # the tests check a hundred trees that differ in one line


def problems(root: Path) -> list[str]:
    """Every broken rule of a tree, one line each."""
    paths = [path for folder in ("pipeline", "stages") for path in sorted((root / folder).rglob("*.py"))]
    trees = {str(path.relative_to(root)): parsed(path.read_text(encoding="utf-8")) for path in paths}
    graph = {name: set(_imports(tree, root)) for name, tree in trees.items()}
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [
        *_upward(graph),
        *_cycles(graph),
        *(line for name, stage in stages.items() for line in _forgotten(name, stage.get("do", stage), trees, graph)),
        *_too_long(root, trees),
    ]


def _imports(tree: ast.Module, root: Path) -> Iterator[str]:
    """The project's own files that a module imports, wherever in it the import stands."""
    return (path for path in _candidates(tree) if (root / path).is_file())


@cache
def _candidates(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = name.replace(".", "/") + ".py"
            if name.startswith(("pipeline.", "stages.")):
                found.append(path)
    return found


@cache
def _by_name(tree: ast.Module) -> set[str]:
    """The kinds of leaf that a module loads by name: registry.load("losses", ...) and registry.build(...)."""
    kinds = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="registry"), attr="load"), args=[ast.Constant(value=str(kind)), *_]):
                kinds.add(kind)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="registry"), attr="build")):
                kinds.add("models")
    return kinds


def _floor(path: str) -> int | None:
    part = path.removeprefix("pipeline/").removesuffix(".py").split("/")[0]
    return next((floor for floor, parts in enumerate(FLOORS) if part in parts), None)


def _is_leaf(path: str) -> bool:
    return path.split("/")[1] in LEAVES


def _upward(graph: dict[str, set[str]]) -> Iterator[str]:
    for name, imports in graph.items():
        if name.startswith("stages/") or name.endswith("__init__.py"):
            continue
        if _floor(name) is None:
            yield f"{name}: stands on no floor; give it one in tests/architecture.py"
        for other in sorted(imports):
            if other.startswith("stages/"):
                yield f"{name} imports {other}: the library knows no stage"
            elif _is_leaf(name) and _is_leaf(other):
                yield f"{name} imports {other}: a leaf imports no leaf"
            elif (_floor(other) or 0) > (_floor(name) or 0):
                yield f"{name} imports {other}: imports point down"


def _reach(start: str, graph: dict[str, set[str]], through: set[str]) -> set[str]:
    seen: set[str] = set()
    queue = [start]
    while queue:
        for other in graph.get(queue.pop(), set()) & through - seen:
            seen.add(other)
            queue.append(other)
    return seen


def _cycles(graph: dict[str, set[str]]) -> list[str]:
    return [f"{name}: imports itself through others" for name in graph if name in _reach(name, graph, set(graph))]


def _forgotten(name: str, stage: dict[str, Any], trees: dict[str, ast.Module], graph: dict[str, set[str]]) -> Iterator[str]:
    """The modules that a stage imports, directly or through others, and dvc.yaml does not list."""
    module = stage["cmd"].split()[2].replace(".", "/") + ".py"
    deps = stage["deps"]
    through = set(graph) - NO_RESULT
    needed = {module, LOCK} | _reach(module, graph, through)
    for kind in set().union(*(_by_name(trees[path]) for path in needed & set(trees))):
        if BY_NAME[kind] not in deps:
            yield f"dvc.yaml: {name} loads {kind} by name, its deps lack {BY_NAME[kind]}"
        for leaf in (path for path in graph if path.startswith(f"pipeline/{kind}/")):
            needed |= _reach(leaf, graph, through)
    for path in sorted(needed):
        if not any(path == dep or path.startswith(f"{dep}/") for dep in deps):
            yield f"dvc.yaml: {name} imports {path}, its deps lack it"


def _too_long(root: Path, trees: dict[str, ast.Module]) -> Iterator[str]:
    for name, tree in trees.items():
        lines = len((root / name).read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            yield f"{name}: {lines} lines, at most {FILE_LINES}"
        for function, length in _lengths(tree):
            if length > FUNCTION_LINES:
                yield f"{name}: {function} has {length} lines, at most {FUNCTION_LINES}"


@cache
def _lengths(tree: ast.Module) -> list[tuple[str, int]]:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in functions]
