"""Attention: who may look at whom, and the back ends that compute it.

    plain    two matrix products and a softmax: the oracle; any platform
    manual   the same with its backward pass by hand; any platform, fast on CPUs
    cudnn    NVIDIA's fused kernel, through `jax.nn.dot_product_attention`
    splash   the fused Pallas kernel for TPUs that ships with JAX

`resolve` chooses among them by platform and variant; `attend` is what a model calls. A back end
computes what the `Visibility` says or raises; none ignores a part of it.
"""

from physlm_jax.models.attention.choice import BACKENDS, attend, resolve
from physlm_jax.models.attention.cpu import manual
from physlm_jax.models.attention.gpu import cudnn
from physlm_jax.models.attention.rotary import rotary_angles, rotate
from physlm_jax.models.attention.tpu import splash
from physlm_jax.models.attention.unfused import cached, plain
from physlm_jax.models.attention.visibility import Variant, Visibility, asked

__all__ = [
    "BACKENDS",
    "Variant",
    "Visibility",
    "asked",
    "attend",
    "cached",
    "cudnn",
    "manual",
    "plain",
    "resolve",
    "rotary_angles",
    "rotate",
    "splash",
]
