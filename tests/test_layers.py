"""The import rules: workers -> metaopt -> taskset, Ray only in workers, no two-way imports."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ALLOWED = {
    "taskset": {"taskset"},
    "metaopt": {"taskset", "metaopt"},
    "workers": {"taskset", "metaopt", "workers", "ray"},
}
RESTRICTED = set(ALLOWED) | {"ray"}


def modules(package: str) -> dict[str, pathlib.Path]:
    """Dotted names of the modules of a package."""
    names = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: pathlib.Path) -> set[str]:
    """Every module that is imported, in functions too; `from a import b` gives a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    assert modules(package), f"no modules found in {package}"
    for name, path in modules(package).items():
        roots = {imported.split(".")[0] for imported in imports(path)}
        assert not roots & RESTRICTED - ALLOWED[package], name


def test_no_module_takes_part_in_an_import_cycle():
    everything = {name: path for package in ALLOWED for name, path in modules(package).items()}
    edges = {
        name: {i for i in imports(path) if i in everything and path.name != "__init__.py"}
        for name, path in everything.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for imported in sorted(edges[name]):
                visit(imported, (*trail, name))
            done.add(name)

    for name in sorted(everything):
        visit(name, ())
    assert len(done) == len(everything)
