"""Which tokens each expert takes, and moving rows of numbers there and back.

A row of T tokens is a group of its own: an expert takes at most `capacity` of its tokens, those
that come first; what a token gets thus depends neither on the tokens after it nor on the rows
beside it, on how many devices there are, or on padding at the end of a row.

The expert's places are slots: expert e has the slots e C .. e C + C - 1 of its row. Every slot
holds at most one (token, choice) pair and every pair has at most one slot, so rows are moved by
look-ups both ways, gradients too: nothing wide is ever scattered.

Shapes: B rows, T tokens, k choices of a token, M experts, C capacity, S = M C slots of a row.
"""

import math

import jax
import jax.numpy as jnp


def capacity(length: int, experts: int, factor: float, least: int = 1) -> int:
    """Returns C, the most tokens of a row that one expert takes: a share factor / experts of them.

    Args:
        length: T.  experts: M.
        factor: the capacity factor; from M on nothing is ever dropped.
        least: tokens that are always taken.
    Source: Physics of Language Models, Part 3.3 (arXiv 2404.05405), section on mixtures of experts;
        the minimum is ours.
    """
    share = math.floor(round(factor * length / experts, 9))  # 1.1 * 320 / 32 is 11, not 10.99..
    return min(max(share, least), length)


def likeliest(scores_BTM: jax.Array, count: int) -> jax.Array:
    """bool[B, T, k, M]: the `count` highest scores in falling order, of equal ones the first."""
    left, found = scores_BTM, []
    for _ in range(count):
        hit = jax.nn.one_hot(left.argmax(-1), left.shape[-1], dtype=bool)
        left = jnp.where(hit, -jnp.inf, left)
        found.append(hit)
    return jnp.stack(found, axis=2)


def places(hit_BTkM: jax.Array, most: int) -> jax.Array:
    """int32[B, T, k]: the slot of every pair; S = M C for one that is dropped.

    Args:
        hit_BTkM: which expert each choice is; no two choices of a token are the same.
        most: C.
    """
    experts = hit_BTkM.shape[-1]
    asked_BTM = hit_BTkM.any(2).astype(jnp.int32)
    before_BTM = jnp.cumsum(asked_BTM, axis=1) - asked_BTM
    rank_BTk = jnp.where(hit_BTkM, before_BTM[:, :, None], 0).sum(-1)
    expert_BTk = jnp.where(hit_BTkM, jnp.arange(experts), 0).sum(-1)
    return jnp.where(rank_BTk < most, expert_BTk * most + rank_BTk, experts * most)


def holders(slot_BTk: jax.Array, slots: int) -> jax.Array:
    """int32[B, S]: the pair (t k + j) that each slot holds; T k for an empty one."""
    flat = slot_BTk.reshape(slot_BTk.shape[0], -1)
    pairs = jnp.arange(flat.shape[1])

    def row(slot: jax.Array) -> jax.Array:
        empty = jnp.full(slots, len(pairs), jnp.int32)
        return empty.at[slot].set(pairs, mode="drop")

    return jax.vmap(row)(flat)


@jax.custom_vjp
def moved(x_BID: jax.Array, source_BO: jax.Array, target_BIn: jax.Array) -> jax.Array:
    """Returns [B, O, D]: rows of x; zeros where the source is none.

    Args:
        source_BO: int32, the row of x that each row of the result is; I for none.
        target_BIn: the same seen from x: all rows of the result that are its row; O for none.
    """
    return _looked_up(x_BID, source_BO)


def _looked_up(x: jax.Array, index: jax.Array) -> jax.Array:
    """x [B, I, D] at index [B, ...]: [B, ..., D], zeros for indices that are out of range."""
    return jax.vmap(lambda rows, i: rows.at[i].get(mode="fill", fill_value=0))(x, index)


def _moved_forward(
    x: jax.Array, source: jax.Array, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return moved(x, source, target), target


def _moved_backward(target: jax.Array, g: jax.Array) -> tuple[jax.Array | None, ...]:
    return _looked_up(g, target).sum(2), None, None


moved.defvjp(_moved_forward, _moved_backward)
