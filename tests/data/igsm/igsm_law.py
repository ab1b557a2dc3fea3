"""A slow, plain twin of the generator, for the law of what it draws.

Written from the description of the authors' generator in words (arXiv 2407.20311, appendix D, in
the released variant), with lists, dicts and Python's own random numbers: the number of wanted
operations is drawn afresh for every candidate, and candidates are thrown away until one has the
operations asked for. Names, formulas and letters are left out; a problem is what `Drawn` says.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

Id = tuple[int, int, int, int]
RNG: Id = (-1, 0, 0, 0)


@dataclass
class Drawn:
    """A problem: its layers, edges, solution order, and what every parameter in use uses."""

    widths: list[int]
    edges: list[tuple[int, int, int]]
    order: list[Id]
    uses: dict[Id, list[Id]]


def draw(rng: random.Random, op_max: int, ip_max: int, op: int = 0) -> Drawn:
    """A problem: the law of `op` operations, or of the smaller of two draws where it is 0."""
    target = op or min(rng.randint(1, op_max), rng.randint(1, op_max))
    while True:
        wanted = op or min(rng.randint(1, op_max), rng.randint(1, op_max))
        found = Candidate(rng, wanted, ip_max).drawn(target)
        if found is not None:
            return found


class Candidate:
    """The hyper-parameters of one candidate, and the building of it."""

    def __init__(self, rng: random.Random, wanted: int, ip_max: int) -> None:
        self.rng, self.wanted = rng, wanted
        n = max(rng.randint(1, wanted), rng.randint(1, wanted))
        self.first, self.least = n, rng.randint(n, wanted)
        fullness = (wanted - 1) / (ip_max - 1)
        softmax = [math.exp(-((fullness - c) ** 2)) for c in (0.2, 0.5, 0.8)]
        self.depth = rng.choices((2, 3, 4), softmax)[0]
        self.low, self.high = sorted(rng.choices((2, 3, 4), softmax, k=2))
        self.more = rng.random()
        fewest = (self.depth - 1) * self.low
        edges = min(rng.randint(fewest, ip_max), rng.randint(fewest, ip_max))
        self.ip = max(fewest, min(edges, (self.depth - 1) * self.high**2))

    def drawn(self, target: int) -> Drawn | None:
        for _ in range(1000):
            self.draw_structure()
            self.choose()
            if self.put_in_order():
                return self.finish(target)
        return None

    # The structure

    def draw_structure(self) -> None:
        rng, widths = self.rng, [self.low] * self.depth
        while True:
            enough = sum(a * b for a, b in pairwise(widths)) >= self.ip
            if enough and (sum(widths[1:]) == self.ip or rng.random() >= self.more):
                break
            growing = [i for i, w in enumerate(widths) if w < self.high]
            if not growing:
                break
            widths[rng.choice(growing)] += 1
        pairs = [
            (i, j, k)
            for i in range(self.depth - 1)
            for j in range(widths[i])
            for k in range(widths[i + 1])
        ]
        edges = {
            (i, rng.randrange(widths[i]), k)
            for i in range(self.depth - 1)
            for k in range(widths[i + 1])
        }
        absent = [pair for pair in pairs if pair not in edges]
        edges |= set(rng.sample(absent, self.ip - len(edges)))
        self.widths, self.edges = widths, sorted(edges)
        self.instances: list[Id] = [(0, *edge) for edge in self.edges]
        self.abstract: list[Id] = [
            (1, i, j, k)
            for i in range(self.depth - 1)
            for j in range(widths[i])
            for k in range(i + 1, self.depth)
        ]
        self.children = {
            (i, j): [k for a, b, k in self.edges if (a, b) == (i, j)]
            for i in range(self.depth)
            for j in range(widths[i])
        }

    def parts(self, a: Id) -> list[Id]:
        _, i, j, k = a
        found: list[Id] = []
        for c in self.children[i, j]:
            found.append((0, i, j, c))
            if k > i + 1:
                found.append((1, i + 1, c, k))
        return found

    # The necessary parameters

    def cost(self, a: Id) -> int:
        _, i, j, k = a
        new = [p for p in self.parts(a) if p not in self.chosen]
        width = len(self.children[i, j])
        own = max(1, width - 1) if k == i + 1 else max(1, 2 * width - 1)
        return own + sum(1 if p[0] == 0 else self.cost(p) for p in new)

    def add(self, p: Id) -> None:
        if p not in self.chosen:
            self.chosen.add(p)
            if p[0] == 1:
                for part in self.parts(p):
                    self.add(part)

    def everything(self) -> int:
        total = len(self.edges)
        for (i, _), below in self.children.items():
            if i < self.depth - 1:
                c = len(below)
                total += max(2 * c - 1, 0) * (self.depth - i - 2) + (c - 1 if c > 1 else c)
        return total

    def choose(self) -> None:
        self.chosen: set[Id] = set()
        left = min(self.first, self.everything())
        fixed = self.least - left
        self.lowest, self.highest = 1, self.depth - 1
        while left > 0:
            picked = self.pick(left)
            if picked == "full":
                break
            if picked is not None:
                left -= self.cost(picked)
                self.add(picked)
        rest = [p for p in self.instances if p not in self.chosen]
        self.chosen |= set(self.rng.sample(rest, min(left + fixed, len(rest))))

    def pick(self, left: int) -> Id | str | None:
        """The abstract parameter of the highest level that fits; None: look again."""
        kept = None
        for span in range(1, self.depth):
            options = [a for a in self.abstract if a[3] - a[1] == span and a not in self.chosen]
            if not options:
                if span == self.lowest:
                    self.lowest += 1
                elif span == self.highest:
                    self.highest -= 1
                continue
            a = self.rng.choice(options)
            if self.cost(a) > left:
                return "full" if span == self.lowest else kept
            if span >= self.highest:
                return a
            kept = a
        return None

    # The order of the solution

    def put_in_order(self) -> bool:
        rng = self.rng
        eager, bias = rng.random(), abs(rng.gauss(0, 1))
        unplaced, stack, backwards = set(self.chosen), set(), []
        self.linked: dict[Id, Id] = {}
        while unplaced:
            zero = self.unused(unplaced)
            pool = sorted(zero & stack if backwards else zero)
            if not pool:
                return False
            v = rng.choice(pool)
            backwards.append(v)
            unplaced.discard(v)
            stack.discard(v)
            if v[0] == 1:
                stack |= set(self.parts(v))
                continue
            zero = self.unused(unplaced)
            must = not zero & stack
            if (rng.random() < eager or must) and unplaced:
                options = sorted(zero if must else unplaced)
                weights = [math.exp(bias * ((u[0] == 1) + (u not in stack))) for u in options]
                self.linked[v] = u = rng.choices(options, weights)[0]
                stack.add(u)
        self.order = backwards[::-1]
        return True

    def unused(self, unplaced: set[Id]) -> set[Id]:
        """Those that no other unplaced one uses."""
        used = {part for a in unplaced if a[0] == 1 for part in self.parts(a)}
        return unplaced - used

    # The in-degrees

    def finish(self, target: int) -> Drawn | None:
        least = sum(1 if p[0] == 0 else self.operations(p) for p in self.order)
        most = [max(min(i + 1, 4) - 2, 0) * (p[0] == 0) for i, p in enumerate(self.order)]
        total = least + min(max(least, self.wanted) - least, sum(most))
        if total != target:
            return None
        extra = [0] * len(self.order)
        for _ in range(total - least):
            growing = [i for i in range(len(extra)) if extra[i] < most[i]]
            extra[self.rng.choice(growing)] += 1
        self.uses: dict[Id, list[Id]] = {}
        for i, p in enumerate(self.order):
            self.uses[p] = self.parts(p) if p[0] == 1 else self.fill(i, p, extra[i])
        self.add_unnecessary()
        return Drawn(self.widths, self.edges, self.order, self.uses)

    def operations(self, a: Id) -> int:
        return max(1, len(self.parts(a)) - 1)

    def fill(self, i: int, p: Id, extra: int) -> list[Id]:
        rng, pool = self.rng, [RNG, *self.order[:i]]
        q = extra + 2 if extra else rng.choice((1, 2))
        q = min(q, i + 1, 4)
        if q == len(pool):
            return pool
        used = [self.linked[p]] if p in self.linked else []
        pool = [x for x in pool if x not in used]
        q -= len(used)
        if q > 0 and rng.random() < 0.5:
            pool.remove(RNG)
            used.append(RNG)
            q -= 1
        return used + rng.sample(pool, q)

    # The parameters that are not needed

    def add_unnecessary(self) -> None:
        rng, available, apart = self.rng, set(self.order), []
        left = [p for p in self.instances if p not in self.chosen]
        rng.shuffle(left)
        self.complete(available)
        for v in left:
            independent = rng.random() < 0.5
            pool = sorted(apart if independent else available)
            q, cap = 1, min(len(pool) + 1, 4)
            while q < cap and rng.random() > 0.5:
                q += 1
            if q == len(pool) + 1:
                self.uses[v] = [RNG, *pool]
            elif rng.random() < 0.5:
                self.uses[v] = [RNG, *rng.sample(pool, q - 1)]
            else:
                self.uses[v] = rng.sample(pool, q)
            available.add(v)
            self.complete(available)
            if independent:
                apart.append(v)
        for v in left:
            for p in self.uses[v]:
                self.refer(p)

    def complete(self, available: set[Id]) -> None:
        for a in sorted(self.abstract, key=lambda a: a[3] - a[1]):
            if available.issuperset(self.parts(a)):
                available.add(a)

    def refer(self, p: Id) -> None:
        """An abstract parameter in use enters the graph, and those that it is made of."""
        if p[0] == 1 and p not in self.uses:
            self.uses[p] = self.parts(p)
            for part in self.uses[p]:
                self.refer(part)
