"""People and their biographies; how much of them a model has stored, in bits."""

from physlm_jax.data.bios import capacity

__all__ = ["capacity"]
