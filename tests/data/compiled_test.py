"""Random streams of compiled code: published values, ranges, laws, the uncompiled twin."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chi_square import chi_square

from physlm_jax.data import compiled
from physlm_jax.data.compiled import (
    draw_below,
    draw_normal,
    draw_uniform,
    draw_weighted,
    draw_word,
    shuffle,
)
from physlm_jax.data.hashing import ragged_words

# The first outputs of splitmix64 started at 0, as its authors' C code prints them.
SPLITMIX = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)


def stream(seed: int) -> np.ndarray:
    return np.array([seed], np.uint64)


def test_published_words():
    state = stream(0)
    assert [int(draw_word(state)) for _ in SPLITMIX] == list(SPLITMIX)


def test_a_stream_is_that_of_the_array_code():
    state = stream(2**63 + 5)
    drawn = np.array([draw_word(state) for _ in range(50)], np.uint64)
    np.testing.assert_array_equal(
        drawn, ragged_words(np.array([2**63 + 5], np.uint64), np.array([0, 50]))
    )


@pytest.mark.parametrize("bound", [1, 2, 3, 23, 52, 1000, 2**31 - 1])
def test_integers_are_in_range_and_uniform(bound):
    state, n = stream(bound), 20_000
    drawn = np.array([draw_below(state, bound) for _ in range(n)])
    assert drawn.min() >= 0 and drawn.max() < bound
    cells = min(bound, 23)
    if cells > 1:
        counts = np.bincount(drawn * cells // bound, minlength=cells)
        edges = -(-np.arange(cells + 1) * bound // cells)  # cell c holds edges[c] .. edges[c+1] - 1
        assert chi_square(counts, n * np.diff(edges) / bound) < 4


def test_uniform_numbers():
    state = stream(7)
    drawn = np.array([draw_uniform(state) for _ in range(40_000)])
    assert drawn.min() >= 0 and drawn.max() < 1
    counts, _ = np.histogram(drawn, 50, (0, 1))
    assert chi_square(counts, np.full(50, 800.0)) < 4


def test_normal_numbers():
    state, n = stream(8), 40_000
    drawn = np.array([draw_normal(state) for _ in range(n)])
    assert np.isfinite(drawn).all()
    assert drawn.mean() == pytest.approx(0, abs=4 / np.sqrt(n))
    assert drawn.var() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert (drawn**3).mean() == pytest.approx(0, abs=4 * np.sqrt(15 / n))
    assert (drawn**4).mean() == pytest.approx(3, abs=4 * np.sqrt(96 / n))
    assert (np.abs(drawn) > 1.959964).mean() == pytest.approx(0.05, abs=0.0045)


def test_weighted_indices():
    state, n = stream(9), 20_000
    weights = np.array([0.0, 3.0, 0.0, 1.0, 0.5, 0.0])
    drawn = np.array([draw_weighted(state, weights) for _ in range(n)])
    counts = np.bincount(drawn, minlength=6)
    assert counts[[0, 2, 5]].sum() == 0
    assert chi_square(counts[[1, 3, 4]], n * weights[[1, 3, 4]] / 4.5) < 4
    assert {draw_weighted(state, np.array([0.0, 1e-300, 0.0])) for _ in range(9)} == {1}


@pytest.mark.parametrize("count", [0, 1, 2, 4, 9])
def test_shuffling_keeps_the_items(count):
    for seed in range(50):
        items = np.arange(10, 14).astype(np.int32)
        shuffle(stream(seed), items, count)
        assert sorted(items.tolist()) == [10, 11, 12, 13]
        if count == 0:
            assert items.tolist() == [10, 11, 12, 13]
    empty = np.zeros(0, np.int32)
    shuffle(stream(0), empty, 3)


@pytest.mark.parametrize("count", [2, 4])
def test_shuffling_is_uniform(count):
    state, n = stream(count), 24_000
    seen = np.zeros(4**count, np.int64)
    for _ in range(n):
        items = np.arange(4).astype(np.int32)
        shuffle(state, items, count)
        seen[items[:count] @ 4 ** np.arange(count)] += 1
    reached = seen[seen > 0]
    possible = {2: 12, 4: 24}[count]
    assert len(reached) == possible
    assert chi_square(reached, np.full(possible, n / possible)) < 4


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (draw_word, ()),
        (draw_below, (23,)),
        (draw_uniform, ()),
        (draw_normal, ()),
        (draw_weighted, (np.array([1.0, 0.0, 2.0, 0.3]),)),
    ],
)
def test_compiled_equals_plain_python(function, arguments):
    fast, plain = stream(11), stream(11)
    for _ in range(60):
        assert function(fast, *arguments) == pytest.approx(
            function.py_func(plain, *arguments), rel=1e-15
        )
        assert fast[0] == plain[0]


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_compiled_shuffle_equals_plain_python():
    for seed in range(20):
        items, plain = np.arange(9), np.arange(9)
        shuffle(stream(seed), items, seed % 10)
        shuffle.py_func(stream(seed), plain, seed % 10)
        np.testing.assert_array_equal(items, plain)


def test_functions_compile_for_the_types_they_meet():
    @compiled.compiled
    def twice(x):
        return x + x

    assert twice(3) == 6 and twice(1.5) == 3.0 and twice.py_func("a") == "aa"


def test_code_that_is_kept_follows_what_it_calls(tmp_path):
    """numba itself looks at the caller's own file alone."""
    head = "from physlm_jax.data.compiled import compiled\n"
    (tmp_path / "outer.py").write_text(
        f"{head}from inner import add\n@compiled\ndef f(x):\n    return 10 * add(x)\n"
    )
    root = str(Path(compiled.__file__).parents[2])
    for one in (1, 2, 2):
        text = f"{head}@compiled\ndef add(x):\n    return x + {one}\n"
        (tmp_path / "inner.py").write_text(text)
        run = subprocess.run(
            [sys.executable, "-B", "-c", "import outer; print(outer.f(3))"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        assert int(run.stdout) == 10 * (3 + one)
    assert len(list((tmp_path / "__pycache__").glob("outer.f*.nbi"))) == 2  # and is kept


def test_code_that_is_kept_follows_the_shared_functions(tmp_path, monkeypatch):
    """Those beside `compiled`, such as permutations; not what has nothing to compile."""
    folder, shared = tmp_path / "world", tmp_path / "data"
    folder.mkdir()
    shared.mkdir()
    monkeypatch.setattr(compiled, "__file__", str(shared / "compiled.py"))
    digest = compiled._digest.__wrapped__
    seen = [digest(folder)]
    for place, text in (
        (shared / "permutation.py", "@compiled\n1"),
        (shared / "permutation.py", "@compiled\n2"),
        (folder / "people.py", "1"),
        (folder / "people.py", "2"),
    ):
        place.write_text(text)
        seen.append(digest(folder))
    assert len(set(seen)) == 5
    (shared / "questions.py").write_text("1")
    assert digest(folder) == seen[-1]
