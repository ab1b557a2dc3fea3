"""Which runs the claims of LoRA need, as arguments of configs/lora.py."""

from __future__ import annotations

from collections.abc import Mapping

from physlm_jax.training.checkpoint import Run

RANKS = (1, 2, 4, 8, 32)
BUDGET = (("q", 8), ("k", 8), ("v", 8), ("o", 8), ("qk", 4), ("qv", 4), ("qkvo", 2))
Trained = Mapping[str, tuple[Run, ...]]


def adapt(scale: str, which: str, rank: int = 0) -> str:
    """An argument of configs/lora.py."""
    return f"adapt,{scale},which={which}" + (f",rank={rank}" if rank else "")


def pair(scale: str) -> tuple[str, ...]:
    """A base, fine-tuned in full and with the default adapter."""
    return f"base,{scale}", adapt(scale, "full"), adapt(scale, "qv", 4)


def ranks(scale: str) -> tuple[str, ...]:
    """Full fine-tuning, all matrices at rank 4, and q and v at every rank."""
    return (
        adapt(scale, "full"),
        adapt(scale, "all", 4),
        *(adapt(scale, "qv", r) for r in RANKS),
    )


def budgets(scale: str) -> tuple[str, ...]:
    """As many trained numbers in one matrix, two or four."""
    return (adapt(scale, "full"), *(adapt(scale, *each) for each in BUDGET))


PAIRS = ((2, 8), (8, 32))  # ranks whose subspaces are compared


def compared(scale: str) -> tuple[str, ...]:
    """The adapters whose subspaces are compared."""
    return tuple(adapt(scale, "qv", rank) for rank in sorted({r for pair in PAIRS for r in pair}))
