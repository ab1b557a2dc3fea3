"""iGSM: grade-school maths with exact ground truth (Parts 2.1 and 2.2)."""

from physlm_jax.data.igsm.emission import Retry, tokens
from physlm_jax.data.igsm.names import Names, load_names
from physlm_jax.data.igsm.problem import Problem, retry, sample
from physlm_jax.data.igsm.spec import (
    ALL_BINS,
    HARD,
    MED,
    MINI,
    MINI_GPU,
    SPECS,
    TEST_BINS,
    TRAIN_BINS,
    Spec,
    named,
)
from physlm_jax.data.igsm.tokenizers import Tokenizer, tokenizer
from physlm_jax.data.igsm.truth import Labels, computable, labels
from physlm_jax.data.igsm.verifier import Verdict, verify
from physlm_jax.data.igsm.world import IgsmWorld, world

__all__ = [
    "ALL_BINS",
    "HARD",
    "MED",
    "MINI",
    "MINI_GPU",
    "SPECS",
    "TEST_BINS",
    "TRAIN_BINS",
    "IgsmWorld",
    "Labels",
    "Names",
    "Problem",
    "Retry",
    "Spec",
    "Tokenizer",
    "Verdict",
    "computable",
    "labels",
    "load_names",
    "named",
    "retry",
    "sample",
    "tokenizer",
    "tokens",
    "verify",
    "world",
]
