"""Other trainers to run beside ours, where they are on PYTHONPATH; each at the same shape.

    nanodo             google-deepmind/nanodo: Flax linen and optax
    nanogpt            karpathy/nanoGPT, eager PyTorch
    nanogpt-compiled   the same through torch.compile, with flash attention where there is a GPU

Nothing of theirs is in this package: a peer's own modules are imported.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physlm_jax.errors import InputError
from physlm_jax.models.transformer import TransformerConfig

# (state, int32[B, T + 1] rows) -> (state, what to wait for)
Update = Callable[[Any, Any], tuple[Any, Any]]


def module(peer: str, name: str) -> Any:
    """Returns a peer's module.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"--peer={peer}: cannot import it ({error}); put it on PYTHONPATH"
        ) from None


def nanodo(model: TransformerConfig, batch: int) -> tuple[Update, Any]:
    """Returns the same update by google-deepmind/nanodo's model and optax, as its trainer does it.

    Raises:
        InputError: nanodo cannot be imported.
    """
    del batch
    peer = module("nanodo", "nanodo.model")
    config = peer.DoConfig(
        D=model.width,
        H=model.heads,
        L=model.max_length,
        N=model.layers,
        V=model.vocab_size,
        F=round(model.mlp_ratio * model.width),
        dtype=jnp.dtype(model.dtype),
    )
    model_of = peer.TransformerDo(config)
    meta = importlib.import_module("flax.core.meta")
    blank = jnp.zeros((1, model.max_length), jnp.int32)
    params = meta.unbox(model_of.init(jax.random.key(0), blank))["params"]
    rate = optax.warmup_cosine_decay_schedule(0.0, 3e-4, 100, 1000)
    optimizer = optax.MultiSteps(optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=0.1), 1)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: Any, rows: jax.Array) -> tuple[Any, Any]:
        params, slots = state

        def loss(params: Any) -> jax.Array:
            logits = model_of.apply({"params": params}, rows[:, :-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
            weights = jnp.where(rows[:, 1:] >= 0, 1.0, 0.0)
            return (losses * weights).sum() / weights.sum()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, slots = optimizer.update(gradient, slots, params)
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return (optax.apply_updates(params, updates), slots), metrics

    return update, (params, optimizer.init(params))


def nanogpt(model: TransformerConfig, batch: int, compiled: bool = False) -> tuple[Update, Any]:
    """Returns the same update by karpathy/nanoGPT's model and its own optimizer groups.

    Args:
        compiled: through torch.compile.
    Raises:
        InputError: nanoGPT or torch cannot be imported.
    """
    del batch
    torch, peer = module("nanogpt", "torch"), module("nanogpt", "model")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its sizes
        network = peer.GPT(
            peer.GPTConfig(
                block_size=model.max_length,
                vocab_size=model.vocab_size,
                n_layer=model.layers,
                n_head=model.heads,
                n_embd=model.width,
                bias=model.bias,
            )
        ).to(device)
        optimizer = network.configure_optimizers(0.1, 3e-4, (0.9, 0.98), device)
    run = torch.compile(network) if compiled else network
    half = model.dtype == "bfloat16"

    def update(state: Any, rows: Any) -> tuple[Any, Any]:
        tokens = torch.from_numpy(np.asarray(rows)).to(device).long()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = run(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())[1]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        return state, loss.detach()

    return update, ()


PEERS: dict[str, Callable[[TransformerConfig, int], tuple[Update, Any]]] = {
    "nanodo": nanodo,
    "nanogpt": nanogpt,
    "nanogpt-compiled": functools.partial(nanogpt, compiled=True),
}
