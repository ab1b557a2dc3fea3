"""The arrows of the house: nothing imports what stands to its right; no TensorFlow anywhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "physlm_jax"
ORDER = (
    ("errors", "files"),
    ("data",),
    ("pipeline",),
    ("parallel",),
    ("models",),
    ("training",),
    ("decoding",),
    ("probes",),
    ("studies",),
    ("report",),
    ("cli", "bench", "train", "generate", "probe", "reproduce", "sweep", "fit", "export", "show"),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("physlm_jax"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {n[1] for n in names if n[0] == "physlm_jax" and len(n) > 1}
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_point_one_way(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room == "__init__":
        assert not imported_rooms(path)
        return
    if path.name == "__main__.py":
        room = "cli"  # an entry point
    for other in imported_rooms(path) - {"__version__"}:
        assert RANK[other] <= RANK[room], f"{path} imports {other}"


def test_generators_need_numpy_alone():
    code = "import sys; from physlm_jax.data import cfg; cfg.sample(cfg.load('cfg3b'), 0, 0, 2); "
    code += "print([m for m in sys.modules if m.split('.')[0] in ('jax', 'flax', 'grain')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_pulls_in_tensorflow():
    modules = ["train", "generate", "probe", "reproduce", "report.__main__", "bench.__main__"]
    loads = "; ".join(f"import physlm_jax.{m}" for m in modules[:1])
    rest = "import physlm_jax.studies.cfg, physlm_jax.report.page, physlm_jax.bench.training"
    code = f"import sys; {loads}; {rest}; print([m for m in sys.modules if m.split('.')[0] in "
    code += "('tensorflow', 'clu', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
