"""Post-training quantisation: weights as whole numbers of 2 to 8 bits, beside scales.

    small = quantisation.quantise(config, params, bits=8)  # round to nearest
    small = quantisation.quantise(config, params, bits=4, method="gptq", calibration=tokens)
    transformer.apply(config, small, tokens)  # decoding, probes, evaluation: as ever
    quantisation.size(small)  # bytes and bits per parameter
    quantisation.dequantised(small)  # plain arrays, for huggingface.save

Matrices become stand-ins (`Quantised`), layers stacked as they were; norms and biases stay. Only
weights are quantised: products run in the model's own dtype. See docs/quantisation.md.

Written here and not taken from qwix (Google's library, whose dependencies we have): that quantises
Flax modules by intercepting their calls, while a model here is a pure function of a dict of stacked
arrays; and its GPTQ unrolls a matrix row by row and keeps the rows' order.

Source: Physics of Language Models, Part 3.3 (arXiv 2404.05405), result 8; GPTQ, arXiv 2210.17323.
"""

from physlm_jax.models.quantisation.entry import METHODS, quantise
from physlm_jax.models.quantisation.standin import Quantised
from physlm_jax.models.quantisation.tree import Size, axes, dequantised, size

__all__ = ["METHODS", "Quantised", "Size", "axes", "dequantised", "quantise", "size"]
