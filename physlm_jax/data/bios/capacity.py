"""Knowledge capacity in bits, and the parameter counts and training lengths it is stated with.

A model that generates a set of knowledge with given losses must hold a number of bits that the
losses alone determine. For bioD(N, K, C, D, L, T), theorem 3.2 of the paper says (parameters W in a
finite set, p1, p2, p3 the losses in nats of names, values and first chunks, expectation over the
random data, N not small against D log N):

    log2 |W| >= N log2((N0 - N) / e^p1) + N K log2(D^C / e^p2)
                + K D log2((T^L - D) / (D e^((1 + o(1)) p3))) - o(K D)

A perfect model, p1 = ln N and p2 = p3 = 0, meets the upper bound of proposition 2.3. The bound
holds for random data alone (a fixed set could be hard-coded) and needs all three terms.
`biod_bits` and `bios_bits` are the right side as the paper reports it (N0 for N0 - N, T^L for
T^L - D, no o(1)), the ratio R of it to the number of parameters, and what a perfect model would
reach.

Everything is a sum of logarithms: e^p is never formed. Nothing is clamped: a model that is worse
than a uniform guess has negative bits. Losses are sums over a name's or a value's tokens.

Source: Physics of Language Models, Part 3.3 (arXiv 2404.05405), sections 2 and 3.
"""

import math
from fractions import Fraction
from numbers import Integral
from typing import NamedTuple

from physlm_jax.errors import InputError

GROUPED = (4, 2, 1)  # key/value heads of Mistral: the first that divides the heads


class Bits(NamedTuple):
    """Bits of knowledge, and per parameter.

    Attributes:
        name, value, diversity: what the names, the values and the sets of chunks account for.
        total: their sum.  ratio: total / parameters, R.
        max_total, max_ratio: of a model that knows everything, R_max.
    """

    name: float
    value: float
    diversity: float
    total: float
    ratio: float
    max_total: float
    max_ratio: float


def bios_bits(
    n: int, names: int, values: int, name_loss: float, value_loss: float, params: int
) -> Bits:
    """Returns the bits that a model has stored of n biographies, bioS(N).

    Args:
        n: N, people.  names: N0, possible names.
        values: S0, possible combinations of the attributes of a person.
        name_loss: p1, nats, mean over people, the sum over the tokens of a name that follows
            the start symbol alone; at least ln N for any model.
        value_loss: p2, nats, mean over people, the sum over the tokens of all attributes.
        params: P, parameters.
    Raises:
        InputError: counts below 1, more people than names, losses that are no losses.
    Source: Part 3.3, theorem 3.2 and remark 3.1; the capacity ratio of bioS.
    """
    _check_people(n, names)
    _at_least_one(values=values, params=params)
    _check_losses(name_loss=name_loss, value_loss=value_loss)
    name = n * (math.log2(names) - _bits(name_loss))
    value = n * (math.log2(values) - _bits(value_loss))
    best = n * (math.log2(names) - math.log2(n) + math.log2(values))
    return _bits_of(name, value, 0.0, best, params)


def biod_bits(
    n: int,
    k: int,
    c: int,
    d: int,
    l: int,  # noqa: E741
    t: int,
    names: int,
    name_loss: float,
    value_loss: float,
    chunk_loss: float,
    params: int,
) -> Bits:
    """Returns the bits that a model has stored of a knowledge set bioD(N, K, C, D, L, T).

    Args:
        n: N, people.  k: K, attributes.  c: C, chunks of a value.  d: D, different chunks of an
            attribute.  l: L, tokens of a chunk.  t: T, different tokens.  names: N0.
        name_loss: p1, nats, as of `bios_bits`.
        value_loss: p2, nats, mean over people and attributes, the sum over the tokens of a value.
        chunk_loss: p3, nats, mean likewise, the sum over the tokens of a value's first chunk.
        params: P, parameters.
    Raises:
        InputError: counts below 1, N > N0, D > T^L, losses that are no losses.
    Source: Part 3.3, theorem 3.2 and remark 3.1; the capacity ratio of bioD.
    """
    _check_set(n, k, c, d, l, t, names)
    _at_least_one(params=params)
    _check_losses(name_loss=name_loss, value_loss=value_loss, chunk_loss=chunk_loss)
    chunk = math.log2(d)
    spread = l * math.log2(t) - chunk
    name = n * (math.log2(names) - _bits(name_loss))
    value = n * k * (c * chunk - _bits(value_loss))
    diversity = k * d * (spread - _bits(chunk_loss))
    best = n * (math.log2(names) - math.log2(n)) + n * k * c * chunk + k * d * spread
    return _bits_of(name, value, diversity, best, params)


def biod_upper_bound(
    n: int,
    k: int,
    c: int,
    d: int,
    l: int,  # noqa: E741
    t: int,
    names: int,
) -> float:
    """Returns log2 of the number of knowledge sets bioD(N, K, C, D, L, T): bits that suffice.

    log2 binomial(N0, N) + N K C log2 D + K log2 binomial(T^L, D); arguments as of `biod_bits`,
    whose `max_total` is this up to about (N + K D) log2 e.

    Raises:
        InputError: as `biod_bits`.
    Source: Part 3.3, proposition 2.3.
    """
    _check_set(n, k, c, d, l, t, names)
    return log2_choices(names, 1, n) + n * k * c * math.log2(d) + k * log2_choices(t, l, d)


def log2_choices(base: int, power: int, count: int) -> float:
    """Returns log2 binomial(base^power, count), 0 <= count <= base^power, to about 12 digits.

    With M = base^power: ln(M! / (M - count)!) is count ln M less what the factors fall short of M,
    which Stirling's series gives without the difference of two large numbers.
    """
    base, power, count = int(base), int(power), int(count)  # Python's do not overflow
    log_size = power * math.log(base)
    if log_size < 700:  # what is larger no count comes near to
        size = base**power
        count = min(count, size - count)
        if size <= 4096:
            return math.log2(math.comb(size, count))
    if count == 0:
        return 0.0
    share = math.exp(math.log(count) - log_size)
    rest = -math.log1p(-share)  # -ln((M - count) / M)
    series = share / 2 + share**2 / 3 + share**3 / 4 + share**4 / 5
    excess = series if share < 1e-3 else rest / share - 1
    products = count * (log_size + excess) - (count - 0.5) * rest
    products += (math.exp(-log_size) - math.exp(rest - log_size)) / 12
    return (products - math.lgamma(count + 1)) / math.log(2)


def exposure_steps(n: int, exposures: int, tokens: float, batch: int, length: int = 512) -> int:
    """Returns the training steps in which n people are presented `exposures` times each.

    N * exposures * tokens / (batch * length), rounded up.

    Args:
        tokens: mean tokens of a biography with the symbol that ends it.
        batch: rows of a step.  length: tokens of a row.
    Raises:
        InputError: counts below 1, tokens that are not a positive number.
    Source: Part 3.3, the tables of training settings, which do not all agree with this.
    """
    _at_least_one(n=n, exposures=exposures, batch=batch, length=length)
    if not (math.isfinite(tokens) and tokens > 0):
        raise InputError(f"capacity: tokens must be a positive number, got {tokens}")
    return math.ceil(Fraction(tokens) * n * exposures / (batch * length))


def gpt2_params(
    layers: int,
    heads: int,
    head_dim: int,
    used_vocab: int,
    mlp_ratio: float = 4,
    tied: bool = True,
) -> int:
    """Returns the parameters of GPT-2 with rotary positions, as capacities are divided by them.

    With d = heads * head_dim: used_vocab d + layers (12 d^2 + 13 d) + 2 d.

    Args:
        used_vocab: tokens that occur in the data; rows of others are not counted.
        mlp_ratio: hidden units of the MLP over d: 4; 1 (the paper's "1/4"); 0: no MLP and no
            LayerNorm before it.
        tied: the output map is the embedding; else its used rows count too.
    Raises:
        InputError: counts below 1, a negative ratio.
    Source: Part 3.3, results 1 and 5; it leaves out the embeddings of tokens that never occur.
    """
    _at_least_one(layers=layers, heads=heads, head_dim=head_dim, used_vocab=used_vocab)
    if not (math.isfinite(mlp_ratio) and mlp_ratio >= 0):
        raise InputError(f"capacity: mlp_ratio must be 0 or more, got {mlp_ratio}")
    width = heads * head_dim
    hidden = round(mlp_ratio * width)
    mlp = 2 * width * hidden + hidden + width + 2 * width if hidden else 0
    attention = 4 * width**2 + 4 * width + 2 * width
    return _tables(used_vocab, width, tied) + layers * (attention + mlp) + 2 * width


def llama_params(
    layers: int, heads: int, head_dim: int, used_vocab: int, tied: bool = False
) -> int:
    """Returns the parameters of LLaMA: gated MLP with round(8 d / 3) hidden units, no biases.

    Args, errors: as of `gpt2_params`.
    Source: Part 3.3, results 5 to 7.
    """
    hidden = round(8 * heads * head_dim / 3)
    return _gated(layers, heads, head_dim, used_vocab, heads, hidden, tied)


def mistral_params(
    layers: int,
    heads: int,
    head_dim: int,
    used_vocab: int,
    kv_heads: int = 0,
    tied: bool = False,
) -> int:
    """Returns the parameters of Mistral: gated MLP of 3.5 d hidden units, grouped keys, no biases.

    Args, errors: as of `gpt2_params`.
        kv_heads: heads of keys and values; 0: the first of 4, 2, 1 that divides the heads (the
            paper's "groups", read as heads of keys and values).
    Source: Part 3.3, results 5 to 7.
    """
    _at_least_one(heads=heads)
    kv_heads = kv_heads or next(groups for groups in GROUPED if heads % groups == 0)
    if kv_heads < 1 or heads % kv_heads:
        raise InputError(f"capacity: {heads} heads are not a multiple of kv_heads {kv_heads}")
    hidden = round(3.5 * heads * head_dim)
    return _gated(layers, heads, head_dim, used_vocab, kv_heads, hidden, tied)


def experts_params(
    layers: int,
    heads: int,
    head_dim: int,
    used_vocab: int,
    experts: int = 32,
    mlp_ratio: float = 1,
    tied: bool = True,
) -> int:
    """Returns the parameters of GPT-2 with experts for its MLP: all of them count.

    An expert is an MLP d -> mlp_ratio d -> d with biases; a router d -> experts has none.

    Args, errors: as of `gpt2_params`.
    Source: Part 3.3, result 9.
    """
    _at_least_one(experts=experts)
    if round(mlp_ratio * heads * head_dim) < 1:
        raise InputError(f"capacity: an expert's mlp_ratio must be above 0, got {mlp_ratio}")
    one = gpt2_params(layers, heads, head_dim, used_vocab, mlp_ratio, tied)
    width = heads * head_dim
    hidden = round(mlp_ratio * width)
    expert = 2 * width * hidden + hidden + width
    return one + layers * ((experts - 1) * expert + width * experts)


def _gated(
    layers: int,
    heads: int,
    head_dim: int,
    used_vocab: int,
    kv_heads: int,
    hidden: int,
    tied: bool,
) -> int:
    _at_least_one(layers=layers, heads=heads, head_dim=head_dim, used_vocab=used_vocab)
    width = heads * head_dim
    attention = 2 * width**2 + 2 * width * kv_heads * head_dim
    layer = attention + 3 * width * hidden + 2 * width
    return _tables(used_vocab, width, tied) + layers * layer + width


def _tables(used_vocab: int, width: int, tied: bool) -> int:
    return used_vocab * width * (1 if tied else 2)


def _bits(nats: float) -> float:
    return nats / math.log(2)


def _bits_of(name: float, value: float, diversity: float, best: float, params: int) -> Bits:
    total = name + value + diversity
    return Bits(name, value, diversity, total, total / params, best, best / params)


def _at_least_one(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise InputError(f"capacity: {name} must be a whole number of at least 1, got {count}")


def _check_people(n: int, names: int) -> None:
    _at_least_one(n=n, names=names)
    if n > names:
        raise InputError(f"capacity: n = {n} people need as many names, there are {names}")


def _check_set(n: int, k: int, c: int, d: int, l: int, t: int, names: int) -> None:  # noqa: E741
    _check_people(n, names)
    _at_least_one(k=k, c=c, d=d, l=l, t=t)
    if d > int(t) ** min(l, int(d).bit_length()):  # exact: 2^bits of d is above d
        raise InputError(f"capacity: d = {d} chunks, but only {t}^{l} strings to draw them from")


def _check_losses(**losses: float) -> None:
    for name, loss in losses.items():
        if not (math.isfinite(loss) and loss >= 0):
            raise InputError(f"capacity: {name} must be 0 nats or more, got {loss}")
