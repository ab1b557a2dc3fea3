"""Which keys a query sees, and what that asks of a back end.

A `Visibility` travels with the arrays; a `Variant` is the same question put before any array is
there: sizes, dtype and the names of all that is asked. Back ends list the names they honour, so
that a kind of visibility added later is refused by every back end that has not learned it.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import dataclasses

import jax
import jax.numpy as jnp

NEGATIVE = -0.7 * float(jnp.finfo(jnp.float32).max)  # survives a sum without becoming -inf


@dataclasses.dataclass(frozen=True)
class Visibility:
    """Which keys a query sees; every back end reads this and nothing else.

    Attributes:
        causal: a query sees keys at its own place or before (a place is an index in the row).
        query_start: place of the first query; keys start at place 0. Static or a traced scalar.
        segment_ids: int32[B, T] of one packed row (queries and keys alike), or None when tokens
            see across examples, as in the papers' concatenated streams.
        window: how many keys a query sees at most, the newest, its own among them; 0: no limit.
            For causal visibility alone.
        pairs: bool[B, T, S], which query sees which key, instead of all the above; None for those.
    """

    causal: bool = True
    query_start: int | jax.Array = 0
    segment_ids: jax.Array | None = None
    window: int = 0
    pairs: jax.Array | None = None

    @property
    def aligned(self) -> bool:
        """Queries start where keys do, as in all but cached decoding."""
        return isinstance(self.query_start, int) and self.query_start == 0

    def mask(self, queries: int, keys: int) -> jax.Array | None:
        """bool, broadcastable to [B, 1, queries, keys]; None if every query sees every key."""
        if self.pairs is not None:
            return self.pairs[:, None]
        seen = None
        if self.causal:
            place = jnp.arange(queries)[:, None] + self.query_start
            key = jnp.arange(keys)[None, :]
            near = key <= place
            if self.window:
                near = near & (key > place - self.window)
            seen = near[None, None]
        if self.segment_ids is not None:
            same = self.same_segment()
            seen = same if seen is None else seen & same
        return seen

    def same_segment(self) -> jax.Array:
        """bool[B, 1, T, T]: which pairs of tokens lie in one segment."""
        ids = self.segment_ids
        assert ids is not None
        return (ids[:, :, None] == ids[:, None, :])[:, None]


def asked(
    *,
    causal: bool,
    segmented: bool,
    shifted: bool = False,
    mapped: bool = False,
    windowed: bool = False,
    paired: bool = False,
) -> frozenset[str]:
    """Returns the names of what a back end must honour.

    Args:
        causal: else "bidirectional".
        segmented: rows hold segments that must not see each other.
        shifted: queries do not start at the place of the first key.
        mapped: whole models are vmapped, as in a population.
        windowed: a query does not see all keys before it.
        paired: which query sees which key is listed.
    """
    names = {"causal" if causal else "bidirectional"}
    more = {"segments": segmented, "shift": shifted, "population": mapped, "window": windowed}
    more["pairs"] = paired
    return frozenset(names | {name for name, on in more.items() if on})


@dataclasses.dataclass(frozen=True)
class Variant:
    """One attention layer as a back end must judge it.

    Attributes:
        dtype: of queries, keys and values.  head_size: K.  heads: H.  key_heads: G.
        queries, keys: T, S.
        asks: what has to be honoured, as `asked` names it.
    """

    dtype: str
    head_size: int
    heads: int
    key_heads: int
    queries: int
    keys: int
    asks: frozenset[str]

    @classmethod
    def of(cls, q_BTHK: jax.Array, k_BSGK: jax.Array, visibility: Visibility) -> "Variant":
        """The variant that these arrays are."""
        return cls(
            dtype=str(q_BTHK.dtype),
            head_size=q_BTHK.shape[3],
            heads=q_BTHK.shape[2],
            key_heads=k_BSGK.shape[2],
            queries=q_BTHK.shape[1],
            keys=k_BSGK.shape[1],
            asks=asked(
                causal=visibility.causal,
                segmented=visibility.segment_ids is not None,
                shifted=not visibility.aligned,
                windowed=0 < visibility.window < k_BSGK.shape[1],
                paired=visibility.pairs is not None,
            ),
        )
