"""Rows for masked language modelling: some words are hidden, and they alone are predicted.

Of the words (whole ones, where a vocabulary cuts them into pieces) a share is chosen; of these 80 %
become the mask token, 10 % stay and 10 % become random tokens. With a share of 1 everything that
bears loss is masked: so answers are asked for, of a world that gives prompts no weight. Source: the
bidirectional control of arXiv 2309.14316, appendix; Devlin et al. (2018), section 3.1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from physlm_jax.data import World
from physlm_jax.data.hashing import below, chances, mix, stream_key
from physlm_jax.errors import InputError

MASKED, KEPT = 0.8, 0.1  # of the chosen words; the rest becomes random


def masked(
    rows: dict[str, np.ndarray], world: World, share: float, seed: int, block: int
) -> dict[str, np.ndarray]:
    """Returns rows whose targets are their own tokens, with weight where these are hidden.

    Args:
        rows: of a packed block.  share: of the words, in (0, 1].
        seed, block: what is hidden is a function of them and the place.

    Raises:
        InputError: the vocabulary has no mask token.
    """
    mask, begins, plain = _kinds(world)
    tokens = rows["tokens"]
    bears = np.zeros(tokens.shape, bool)
    bears[:, 1:] = rows["weights"][:, :-1] > 0  # weights are of the next token
    bears &= plain[tokens]
    if share >= 1:
        hidden = np.where(bears, mask, tokens)
        return _asked(rows, hidden.astype(np.int32), bears)
    words = np.cumsum(begins[tokens].reshape(-1)).astype(np.uint64).reshape(tokens.shape)
    drawn = mix(mix(words) ^ np.uint64(stream_key(seed, "masking", block)))
    chosen = chances(drawn, share) & bears
    fate = mix(drawn)
    hide, keep = chances(fate, MASKED), chances(fate, MASKED + KEPT)
    places = np.arange(tokens.size, dtype=np.uint64).reshape(tokens.shape)
    other = below(mix(fate + places), len(begins))
    hidden = np.where(chosen & hide, mask, np.where(chosen & ~keep, other, tokens))
    return _asked(rows, hidden.astype(np.int32), chosen)


def _asked(
    rows: dict[str, np.ndarray], hidden: np.ndarray, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        **rows,
        "tokens": hidden,
        "targets": rows["tokens"],
        "weights": chosen.astype(np.float32),
    }


@lru_cache(maxsize=16)
def _tables(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens begin a word, and which are words at all (no special tokens)."""
    begins = np.array([not name[:1].isalnum() for name in names])
    plain = np.array([not (name.startswith("<") and name.endswith(">")) for name in names])
    return begins, plain


def _kinds(world: World) -> tuple[int, np.ndarray, np.ndarray]:
    vocabulary = world.vocabulary
    mask = getattr(vocabulary, "mask", -1)
    if mask < 0:
        raise InputError(
            f"pipeline.masked: the vocabulary of {type(world).__name__} has no mask token"
        )
    begins, plain = _tables(vocabulary.names)
    plain = plain.copy()
    plain[[vocabulary.pad, vocabulary.eos, vocabulary.bos, mask]] = False
    return mask, begins, plain
