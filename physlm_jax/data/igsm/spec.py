"""What problems are drawn: sizes, names, and which side of the split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from physlm_jax.data.igsm.candidates import CANDIDATES, Lists, draw_skeleton
from physlm_jax.data.igsm.formulas import LETTERS
from physlm_jax.data.igsm.names import Names, load_names
from physlm_jax.data.igsm.structure import Sizes
from physlm_jax.data.igsm.templates import BINS
from physlm_jax.errors import InputError, unknown

ALL_BINS = tuple(range(BINS))
TRAIN_BINS = tuple(range(17))
TEST_BINS = tuple(range(17, BINS))
_SIZES = (2, 3, 4)
_NUMBERS = ("op_max", "ip_max", "op", "chains", "categories", "subcategories", "items")


@dataclass(frozen=True)
class Spec:
    """A distribution of problems.

    Attributes:
        op_max: most operations of a solution, 1..52.  ip_max: most instance parameters, so
            sentences of a statement; at least (largest depth - 1) * largest width.
        op: operations of every problem, where fixed; 0: the smaller of two uniform draws from
            1..op_max.
        reask: another parameter is asked for instead of the one the problem was made for
            (needs op; the operations are then any number).
        bins: allowed bins of the solution's template.
        depths, widths: layers, and items of a layer, that may be drawn; of 2, 3, 4.
        chains, categories, subcategories, items: the first so many of each in the lists of names;
            0 for all.
        names: a file of names; "" for the project's own.

    Source: arXiv 2407.20311, section 2.2 and appendix D.
    """

    op_max: int = 15
    ip_max: int = 20
    op: int = 0
    reask: bool = False
    bins: tuple[int, ...] = ALL_BINS
    depths: tuple[int, ...] = _SIZES
    widths: tuple[int, ...] = _SIZES
    chains: int = 0
    categories: int = 0
    subcategories: int = 0
    items: int = 0
    names: str = ""

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            _check_whole(name, getattr(self, name))
        for name in ("bins", "depths", "widths"):
            given = getattr(self, name)
            for value in given if isinstance(given, Iterable) else (str(given),):
                _check_whole(f"every one of {name}", value)
            object.__setattr__(self, name, tuple(sorted(set(map(int, given)))))
        if not 1 <= self.op_max <= LETTERS or not 0 <= self.op <= LETTERS:
            raise InputError(
                f"iGSM: op_max must be in 1..{LETTERS} and op in 0..{LETTERS} (a letter each), got "
                f"op_max {self.op_max} and op {self.op}"
            )
        if not self.bins or not set(self.bins) <= set(ALL_BINS):
            hint = "" if self.bins else ": no problem would be left"
            raise InputError(
                f"iGSM: bins must be some of 0..{BINS - 1}, got {list(self.bins)}{hint}"
            )
        for name in ("depths", "widths"):
            if not getattr(self, name) or not set(getattr(self, name)) <= set(_SIZES):
                raise InputError(f"iGSM: {name} must be some of 2, 3, 4, got {getattr(self, name)}")
        least = (max(self.depths) - 1) * max(self.widths)
        if self.ip_max < least:
            raise InputError(
                f"iGSM: ip_max {self.ip_max} is too small: depth {max(self.depths)} and width "
                f"{max(self.widths)} can need {least} instance parameters; allow fewer layers or "
                "items (depths, widths)"
            )
        if self.reask and not self.op:
            raise InputError("iGSM: reask needs a fixed op, of the problem that is asked again")
        self._check_names()

    def _check_names(self) -> None:
        lists = self.lists
        if lists.counts.min() < max(self.widths):
            raise InputError(
                f"iGSM: a sub-category has {lists.counts.min()} items, but a layer can have "
                f"{max(self.widths)}"
            )
        if lists.categories.shape[1] < max(self.depths):
            raise InputError(
                f"iGSM: chains have {lists.categories.shape[1]} categories, but a problem can have "
                f"{max(self.depths)} layers"
            )

    @cached_property
    def name_lists(self) -> Names:
        """The names that problems are told with."""
        return load_names(self.names).select(
            self.chains, self.categories, self.subcategories, self.items
        )

    @cached_property
    def all_names(self) -> tuple[str, ...]:
        """Every name, each once: categories, then items. `Problem.names` are indices here."""
        names = self.name_lists
        return tuple(dict.fromkeys([*names.categories, *names.items]))

    @cached_property
    def lists(self) -> Lists:
        """The names as the compiled code reads them."""
        number = {name: i for i, name in enumerate(self.all_names)}
        chains = self.name_lists.chains
        _check_even((f"chain {c.name!r}", len(c.categories), "categories") for c in chains)
        _check_even(
            (f"category {c.name!r}", len(c.subcategories), "sub-categories")
            for chain in chains
            for c in chain.categories
        )
        subs = [[c.subcategories for c in chain.categories] for chain in chains]
        counts = np.array([[[len(s) for s in c] for c in chain] for chain in subs], np.int32)
        items = np.full((*counts.shape, counts.max()), -1, np.int32)
        for place in np.ndindex(counts.shape):
            a, b, c = place
            items[place][: counts[place]] = [number[name] for name in subs[a][b][c]]
        categories = [[number[c.name] for c in chain.categories] for chain in chains]
        return Lists(items, counts, np.array(categories, np.int32))

    @cached_property
    def sizes(self) -> Sizes:
        """The sizes as the compiled code reads them."""
        allowed = [
            np.array([float(n in sizes) for n in range(5)]) for sizes in (self.depths, self.widths)
        ]
        return Sizes(self.op_max, self.ip_max, self.op, *allowed)

    @property
    def op_probabilities(self) -> np.ndarray:
        """float64[op_max + 1]: P(op = k), if all bins are allowed and op is not fixed."""
        k = np.arange(self.op_max + 1)
        return np.where(k > 0, (2 * (self.op_max - k) + 1) / self.op_max**2, 0.0)


def _check_whole(what: str, value: object) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise InputError(f"iGSM: {what} must be a whole number, got {value!r}")


def _check_even(counted: Iterable[tuple[str, int, str]]) -> None:
    """Raises InputError unless all counts are the first one."""
    (first, count, _), *others = counted
    for where, other, what in others:
        if other != count:
            raise InputError(
                f"iGSM: {where} has {other} {what}, {first} has {count}: a problem draws from all "
                "alike; make them equal, or take the first few (chains, categories, subcategories)"
            )


MED = Spec()
HARD = Spec(op_max=21, ip_max=28)
MINI = Spec(op_max=3, ip_max=6, depths=(2,), widths=(2, 3), chains=1, subcategories=1, items=8)
MINI_GPU = Spec(op_max=5, ip_max=8, depths=(2, 3), chains=1, subcategories=1, items=4)
SPECS = {"med": MED, "hard": HARD, "mini": MINI, "mini-gpu": MINI_GPU}


def named(name: str) -> Spec:
    """Returns one of the specifications by its name.

    Raises:
        InputError: no such name.
    """
    if name not in SPECS:
        raise unknown("specification", name, SPECS, "iGSM")
    return SPECS[name]


@lru_cache
def check_reachable(spec: Spec) -> None:
    """Checks that problems can have as many operations as they may be asked to have.

    Raises:
        InputError: none of many candidates has.
    """
    most = spec.op or spec.op_max
    found, _ = draw_skeleton(spec.sizes, most, np.zeros(1, np.uint64))
    if not found:
        raise InputError(
            f"iGSM: none of {CANDIDATES} candidates has {most} operations; with depths "
            f"{list(spec.depths)}, widths {list(spec.widths)} and ip_max {spec.ip_max} so many are "
            "out of reach: raise these or lower op and op_max"
        )


def sides(train: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the bins of training and of testing.

    Raises:
        InputError: a side is left empty.
    """
    chosen = tuple(sorted(set(train)))
    rest = tuple(b for b in ALL_BINS if b not in chosen)
    if not chosen or not rest or not set(chosen) <= set(ALL_BINS):
        raise InputError(
            f"iGSM: train_bins must be some but not all of 0..{BINS - 1}, got {list(chosen)}: "
            "one side of the split would be empty"
        )
    return chosen, rest
