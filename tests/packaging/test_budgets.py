"""The budgets that no linter counts: lengths, nesting, lines of test, modules in import cycles."""

import ast
import graphlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

FUNCTION_LINES, FUNCTION_LINES_P90, NESTING, FILE_LINES, CLASS_LINES = 40, 20, 3, 400, 250
# Boolean operators and conditional expressions counted, which ruff's C901 (10) leaves out.
COMPLEXITY = 12

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.TryStar, ast.AsyncFor, ast.AsyncWith, ast.Match)
BRANCHES = (ast.If, ast.For, ast.While, ast.AsyncFor, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.Assert)


class Measured(NamedTuple):
    where: str
    lines: int
    nesting: int
    complexity: int


def code_files(checkout: Path) -> list[Path]:
    roots = [checkout / name for name in ("mml_core", "configs", "plugins")]
    return [path for root in roots for path in sorted(root.rglob("*.py")) if "tests" not in path.parts]


def test_files(checkout: Path) -> list[Path]:
    return [path for name in ("tests", "plugins") for path in sorted((checkout / name).rglob("test*.py"))]


test_files.__test__ = False  # type: ignore[attr-defined] # a helper whose name pytest would take for a test


def line_count(paths: list[Path]) -> int:
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Return the lines of a definition without its docstring."""
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return lines
    return lines - (node.body[0].end_lineno - node.body[0].lineno + 1)


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return how deep blocks lie in one another; an `elif` is no deeper than its `if`."""
    worst = depth
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            is_elif = isinstance(child, ast.If) and isinstance(node, ast.If) and node.orelse == [child]
            worst = max(worst, nesting(child, depth + (isinstance(child, BLOCKS) and not is_elif)))
    return worst


def complexity(node: ast.AST) -> int:
    """Return one more than the decisions below a node."""
    parts = list(ast.walk(node))
    branches = sum(isinstance(part, (*BRANCHES, ast.match_case)) for part in parts)
    return 1 + branches + sum(len(part.values) - 1 for part in parts if isinstance(part, ast.BoolOp))


def measured(checkout: Path, kinds: tuple[type[ast.AST], ...]) -> Iterator[Measured]:
    for path in code_files(checkout):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                where = f"{path.relative_to(checkout)}:{node.lineno} {node.name}"
                yield Measured(where, length(node), nesting(node), complexity(node))


def refuse(over: Iterable[str]) -> None:
    """Fail with all that is over a budget."""
    listed = "\n".join(over)
    assert not listed, f"over budget:\n{listed}"


def test_functions_are_short(checkout: Path) -> None:
    functions = sorted(measured(checkout, FUNCTIONS), key=lambda function: function.lines)
    refuse(f"{f.where}: {f.lines} lines" for f in functions if f.lines > FUNCTION_LINES)
    p90 = functions[int(len(functions) * 0.9)]
    assert p90.lines <= FUNCTION_LINES_P90, f"one function in ten is longer than {FUNCTION_LINES_P90} lines: {p90}"


def test_blocks_are_not_nested_deeply(checkout: Path) -> None:
    refuse(f"{f.where}: {f.nesting} deep" for f in measured(checkout, FUNCTIONS) if f.nesting > NESTING)


def test_functions_decide_little(checkout: Path) -> None:
    functions = measured(checkout, FUNCTIONS)
    refuse(f"{f.where}: complexity {f.complexity}" for f in functions if f.complexity > COMPLEXITY)


def test_classes_are_short(checkout: Path) -> None:
    classes = measured(checkout, (ast.ClassDef,))
    refuse(f"{c.where}: {c.lines} lines" for c in classes if c.lines > CLASS_LINES)


def test_files_are_short(checkout: Path) -> None:
    long = [path for path in code_files(checkout) if line_count([path]) > FILE_LINES]
    refuse(f"{path.relative_to(checkout)}: {line_count([path])} lines" for path in long)


def test_there_is_a_line_of_test_per_line_of_code(checkout: Path) -> None:
    tests, code = line_count(test_files(checkout)), line_count(code_files(checkout))
    assert tests >= code, f"{tests} lines of test for {code} lines of code"


def test_no_module_is_in_an_import_cycle() -> None:
    graph = grimp.build_graph("mml", "mml_configs", cache_dir=None)  # counts imports inside functions, too
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(reversed(error.args[1]))}")


@pytest.mark.parametrize(
    ("source", "lines", "depth", "decisions"),
    [
        ("def f():\n    pass", 2, 0, 0),
        ('def f():\n    """One.\n\n    Two.\n    """\n    return 1 if a and b or c else 2', 2, 0, 3),
        ("def f():\n    if a:\n        pass\n    elif b:\n        pass\n    else:\n        pass", 7, 1, 2),
        ("def f():\n    with a:\n        for b in c:\n            def g():\n                if d: pass", 5, 2, 2),
    ],
)
def test_the_measures_count_as_the_style_says(source: str, lines: int, depth: int, decisions: int) -> None:
    node = ast.parse(source).body[0]
    assert (length(node), nesting(node), complexity(node)) == (lines, depth, 1 + decisions)
