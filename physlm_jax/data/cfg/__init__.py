"""Layered context-free languages: grammars, samples with labels, exact oracles, variants."""

from physlm_jax.data.cfg.alphabet import Alphabet
from physlm_jax.data.cfg.corruption import Corruption, corrupt_prefix, sample_corrupted
from physlm_jax.data.cfg.derivations import Derivations, Node, label
from physlm_jax.data.cfg.drawing import draw_grammar
from physlm_jax.data.cfg.files import load, names
from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.cfg.official import official_sample
from physlm_jax.data.cfg.oracles import (
    first_error,
    is_valid,
    log_prob,
    next_token_probs,
    next_token_probs_of,
)
from physlm_jax.data.cfg.parsing import parse, parse_all
from physlm_jax.data.cfg.sampling import sample, sample_derivations
from physlm_jax.data.cfg.statistics import Statistics, derivations, statistics
from physlm_jax.data.cfg.world import CfgWorld, world

__all__ = [
    "Alphabet",
    "CfgWorld",
    "Corruption",
    "Derivations",
    "Grammar",
    "Node",
    "Statistics",
    "corrupt_prefix",
    "derivations",
    "draw_grammar",
    "first_error",
    "is_valid",
    "label",
    "load",
    "log_prob",
    "names",
    "next_token_probs",
    "next_token_probs_of",
    "official_sample",
    "parse",
    "parse_all",
    "sample",
    "sample_corrupted",
    "sample_derivations",
    "statistics",
    "world",
]
