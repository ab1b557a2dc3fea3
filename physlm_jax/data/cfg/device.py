"""The oracles as matrix products in float32, for whole batches on an accelerator.

The inside table of a symbol is an (n+1) x (n+1) matrix I_a with I_a[i, j] = Pr(a derives tokens
i+1..j), so a rule a -> b c is the matrix product I_b I_c, a rule of three one more, and the
levels follow one from the next. Probabilities of long strings lie far below what float32 holds;
so every terminal entry is multiplied by e^h with h near the entropy per token, which scales a span
of m tokens by e^(m h) and cancels in all ratios. Products need the full float32 precision: on
accelerators the default rounds to fewer bits.

The only file of this package that imports JAX. `oracles` does the same on the host in float64.
Source: the inside algorithm (Baker 1979) as matrix products; the scaling is this project's.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.cfg.oracles import Strings, as_emission
from physlm_jax.data.cfg.spans import plans
from physlm_jax.data.cfg.statistics import statistics
from physlm_jax.data.ragged import as_ragged

_einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def pad(strings: Strings, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns strings as a rectangle: tokens int32[B, n], 0 where a string has ended, and lengths.

    Args:
        strings: B sequences of tokens; length: n, by default that of the longest. Calls with
            rectangles of the same shape share one compilation.
    """
    ragged = as_ragged(strings)
    n = int(ragged.lengths.max(initial=0)) if length is None else length
    present = np.arange(n) < ragged.lengths[:, None]
    tokens = np.zeros(present.shape, np.int32)
    tokens[present] = ragged.tokens
    return tokens, ragged.lengths.astype(np.int32)


def is_valid(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, emission: np.ndarray | None = None
) -> jax.Array:
    """Returns bool[B]: which strings are in the language; exact (products of 0 and 1).

    Args:
        grammar: the language.
        tokens: int[B, n], padded by any value; lengths: int[B].
        emission: float64[V + 1, |T|], for observable tokens 1..V of an implicit language.
    """
    leaves = (as_emission(grammar, emission) > 0).astype(np.float32)
    return _is_valid(grammar, jnp.asarray(tokens), jnp.asarray(lengths), leaves)


def log_prob(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, emission: np.ndarray | None = None
) -> jax.Array:
    """Returns float32[B]: ln p(string), -inf outside the language. Args: as `is_valid`."""
    leaves, h = _scaled(grammar, emission)
    return _log_prob(grammar, jnp.asarray(tokens), jnp.asarray(lengths), leaves, h)


def next_token_probs(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, emission: np.ndarray | None = None
) -> jax.Array:
    """Returns float32[B, n + 1, V + 1]: what follows after every prefix of every string.

    Row k of a string is the distribution after its first k tokens, column 0 the end of the string
    (see `oracles.next_token_probs`); NaN past the string's length and after impossible prefixes.
    Args: as `is_valid`.
    """
    leaves, _ = _scaled(grammar, emission)
    emit = jnp.asarray(as_emission(grammar, emission), jnp.float32)
    return _next_token_probs(grammar, jnp.asarray(tokens), jnp.asarray(lengths), leaves, emit)


def _scaled(grammar: Grammar, emission: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Returns the emission matrix times e^h, float32[V + 1, |T|], and h in nats per token."""
    figures = statistics(grammar)
    emit = as_emission(grammar, emission)
    surprise = -np.sum(emit * np.log(np.where(emit > 0, emit, 1.0)), axis=0).mean()
    h = figures.tree_entropy * math.log(2) / figures.mean_length + float(surprise)
    factor = np.float32(math.exp(h))  # rounded once, so that plain terminals are scaled exactly
    return (emit * factor).astype(np.float32), math.log(factor)


def _leaf_tables(tokens: jax.Array, lengths: jax.Array, leaves: jax.Array) -> jax.Array:
    """[B, |T|, n + 1, n + 1]: the tables of the terminals, one diagonal each."""
    n = tokens.shape[1]
    inside = (jnp.arange(n) < lengths[:, None]) & (tokens >= 1) & (tokens < len(leaves))
    entries = jnp.where(inside[..., None], leaves[jnp.where(inside, tokens, 0)], 0.0)
    place = jnp.arange(n)
    empty = jnp.zeros((len(tokens), leaves.shape[1], n + 1, n + 1), jnp.float32)
    return empty.at[:, :, place, place + 1].set(entries.transpose(0, 2, 1))


def _tables(
    grammar: Grammar, leaves: jax.Array, boolean: bool
) -> tuple[list[jax.Array], list[jax.Array], jax.Array]:
    """Returns the tables of levels 2..L, of the pairs of levels 1..L-1, and the root's first row.

    Args:
        leaves: [B, |T|, n + 1, n + 1]; boolean: whether entries only say that a span exists.
    Returns:
        levels[k]: [B, symbols of level k + 2, n + 1, n + 1]; pairs[k]: [B, pairs, n + 1, n + 1],
        for k = 0 (the root) [B, pairs, 1, n + 1]; root: [B, n + 1].
    """
    levels, pairs = [leaves], list[jax.Array]()
    for k in reversed(range(grammar.levels - 1)):
        table, plan, below = grammar.tables[k], plans(grammar)[k], levels[0]
        rows = below[:, :, :1] if k == 0 else below  # of the root, strings from the start alone
        pair = _multiply(rows[:, plan.pairs[0]], below[:, plan.pairs[1]], boolean)
        ways = [
            rows[:, table.children[0, plan.units]],
            pair[:, plan.pair[plan.twos]],
            _multiply(
                pair[:, plan.pair[plan.threes]], below[:, table.children[2, plan.threes]], boolean
            ),
        ]
        order = np.concatenate([plan.units, plan.twos, plan.threes])
        mix = np.zeros((len(table.degree), len(order)), np.float32)
        mix[table.owner[order], np.arange(len(order))] = np.exp(plan.weight[order])
        above = _einsum("sr,brij->bsij", mix, jnp.concatenate(ways, axis=1))
        levels.insert(0, (above > 0).astype(above.dtype) if boolean else above)
        pairs.insert(0, pair)
    return levels[1:], pairs, levels[0][:, 0, 0]


def _multiply(left: jax.Array, right: jax.Array, boolean: bool) -> jax.Array:
    product = _einsum("brij,brjk->brik", left, right)
    return (product > 0).astype(product.dtype) if boolean else product


@partial(jax.jit, static_argnums=0)
def _is_valid(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, leaves: jax.Array
) -> jax.Array:
    _, _, root = _tables(grammar, _leaf_tables(tokens, lengths, leaves), True)
    return jnp.take_along_axis(root, lengths[:, None], axis=1)[:, 0] > 0


@partial(jax.jit, static_argnums=0)
def _log_prob(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, leaves: jax.Array, h: float
) -> jax.Array:
    _, _, root = _tables(grammar, _leaf_tables(tokens, lengths, leaves), False)
    scaled = jnp.take_along_axis(root, lengths[:, None], axis=1)[:, 0]
    return jnp.log(scaled) - lengths * h


@partial(jax.jit, static_argnums=0)
def _next_token_probs(
    grammar: Grammar, tokens: jax.Array, lengths: jax.Array, leaves: jax.Array, emit: jax.Array
) -> jax.Array:
    diagonal = _leaf_tables(tokens, lengths, leaves)
    levels, pairs, root = _tables(grammar, diagonal, False)
    start = jnp.zeros((len(tokens), 1, root.shape[1])).at[:, :, 0].set(1.0)
    for k in range(grammar.levels - 1):
        start = _descend(grammar, k, start, levels[k], pairs[k])
    # The token before boundary k stands for terminal t with its (scaled) entry [t, k - 1, k].
    place = jnp.arange(tokens.shape[1])
    reach = jnp.sum(start[:, :, :-1] * diagonal[:, :, place, place + 1], axis=1)
    prefix = jnp.concatenate([jnp.ones((len(tokens), 1)), reach], axis=1)
    after = _einsum("btk,vt->bkv", start, emit[1:])
    rows = jnp.concatenate([root[..., None], after], axis=2)
    return rows / jnp.where(prefix > 0, prefix, jnp.nan)[..., None]


def _descend(
    grammar: Grammar, k: int, start: jax.Array, below: jax.Array, pairs: jax.Array
) -> jax.Array:
    """F of level k + 1 to F of the next, [B, symbols, n + 1]: see `prefixes`."""
    table, plan = grammar.tables[k], plans(grammar)[k]
    weighted = start[:, table.owner] * np.exp(plan.weight).astype(np.float32)[:, None]
    longer = np.concatenate([plan.twos, plan.threes])
    if k == 0:  # the tables of the root's pairs have the row of the first boundary alone
        third = _einsum("br,brj->brj", weighted[:, plan.threes, 0],
                        pairs[:, plan.pair[plan.threes], 0])  # fmt: skip
    else:
        third = _einsum("bri,brij->brj", weighted[:, plan.threes], pairs[:, plan.pair[plan.threes]])
    second = _einsum("bri,brij->brj", weighted[:, longer], below[:, table.children[0, longer]])
    flow = jnp.concatenate([weighted, second, third], axis=1)
    target = np.concatenate(
        [table.children[0], table.children[1, longer], table.children[2, plan.threes]]
    )
    send = np.zeros((grammar.sizes[k + 1], len(target)), np.float32)
    send[target, np.arange(len(target))] = 1.0
    return _einsum("sr,brj->bsj", send, flow)
