"""docs/architecture.md is the truth: its table is read here, and the imports of every module are held against it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).parents[1]
TEXT = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = {
    ".".join(path.relative_to(REPO).with_suffix("").parts): path
    for path in (REPO / "beautynet").rglob("*.py")
    if path.name != "__init__.py"
}


def floors() -> list[tuple[str, set[str]]]:
    """(floor, its rooms as written: `x.py` or `x/`) from top to bottom."""
    found: list[tuple[str, set[str]]] = []
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("|") and (rooms := set(re.findall(r"`([\w/]+(?:\.py|/))`", cells[2]))):
            if cells[1]:
                found.append((cells[1], set()))
            found[-1][1].update(rooms)
    return found


FLOORS = floors()


def room(module: str) -> str:
    """`beautynet.sources.bing` -> `sources/`, `beautynet.verbs.train` -> `verbs/train.py`."""
    path = module.removeprefix("beautynet.").replace(".", "/")
    return "sources/" if path.startswith("sources") else f"{path}.py"


def floor(module: str) -> int:
    return next(i for i, (_, rooms) in enumerate(FLOORS) if room(module) in rooms)


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Our modules and others that a file imports: all, or at module level only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                for alias in node.names:
                    whole = f"{module}.{alias.name}"
                    yield whole if whole in MODULES or module == "beautynet" else module


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name in MODULES or name == "beautynet.sources"}


def folder(module: str) -> str:
    """`beautynet.film.media` -> `film`; none for what lies outside of them."""
    return module.split(".")[1] if module.count(".") > 1 or module == "beautynet.sources" else ""


def circles(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of a graph when all that leads nowhere is taken away, again and again."""
    while ends := {name for name, others in graph.items() if not others}:
        graph = {name: others - ends for name, others in graph.items() if name not in ends}
    return graph


def test_the_picture_and_the_package_agree() -> None:
    named = set().union(*(rooms for _, rooms in FLOORS))
    assert [name for name, _ in FLOORS] == ["face", "verbs", "nouns", "leaves"]
    assert {room(module) for module in MODULES} == named


def test_one_way_down() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in ours(path)
        if floor(other) < floor(module) or (FLOORS[floor(module)][0] == FLOORS[floor(other)][0] == "verbs")
    ]
    assert not wrong


def test_imports_are_by_whole_names() -> None:
    """Relative ones, and those of what the package hands on, are unknown to all that looks at imports here."""
    for path in MODULES.values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], path
        others = {name for name in imports(path) if name.partition(".")[0] == "beautynet"} - MODULES.keys()
        assert others <= {"beautynet.sources", "beautynet.__version__"}, path


def test_the_face_is_thin() -> None:
    heavy = [name for name in imports(MODULES["beautynet.cli"], everywhere=False) if name.startswith("beautynet")]
    assert set(heavy) == {"beautynet.config", "beautynet.errors"}


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: ours(path) & MODULES.keys() for module, path in MODULES.items()}
    assert not circles(graph)


def test_folders_import_one_way() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = {folder(other) for other in ours(path)} - {folder(module), ""}
        graph.setdefault(folder(module), set()).update(others)
    assert len(graph) > 8
    assert not circles({name: others for name, others in graph.items() if name})


def test_leaves_without_torch() -> None:
    sentence = next(each for each in TEXT.split("\n\n") if "import no torch" in each)
    names = re.findall(r"`([\w.]+)`", sentence)
    assert len(names) >= 8
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module("beautynet." + name)
    if "torch" in sys.modules:
        sys.exit(name + " imports torch")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_is_tested() -> None:
    tested = set().union(*(set(imports(path)) for path in (REPO / "tests").glob("test_*.py")))
    files = {path.stem.removeprefix("test_") for path in (REPO / "tests").glob("test_*.py")}
    untested = [m for m in MODULES if m not in tested and m.rpartition(".")[2] not in files]
    assert not [m for m in untested if not m.startswith("beautynet.sources.")]


def test_names_of_machines_stay_out() -> None:
    home = re.compile(r"/(?:home|Users|root|work)/")
    patterns = ("*.md", "docs/*.md", "*.toml", "Makefile", "beautynet/**/*.py", "beautynet/pages/*", "benchmarks/*.py")
    files = [path for pattern in (*patterns, "scripts/*.py", "*/README.md") for path in REPO.glob(pattern)]
    assert {REPO / "Makefile", *MODULES.values()} <= {*files}
    assert not [path.name for path in files if home.search(path.read_text(encoding="utf-8"))]
