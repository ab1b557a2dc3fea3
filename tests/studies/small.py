"""Studies run whole, on models of seconds: what is measured, not whether it holds."""

from physlm_jax.studies import running
from physlm_jax.training import config as configs


def shrink(monkeypatch, study: str, **changes) -> None:
    """Makes every configuration of a study tiny; changes are dotted keys with `__`."""
    real = configs.load

    def small(spec: str):
        c = real(spec)
        if not spec.startswith(f"configs/{study}.py"):
            return c
        c.steps, c.batch, c.pipeline.rows_per_block = 4, 8, 8
        c.model.layers, c.model.width, c.model.heads = 2, 16, 2
        c.eval.every, c.eval.rows, c.checkpoint.every, c.optimizer.warmup = 2, 8, 0, 1
        c.mesh.data = 1
        with c.unlocked():
            c.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
        return c

    monkeypatch.setattr(configs, "load", small)


def outcomes(study: str, folder, wanted=(), seeds: int = 2):
    """Every outcome of a study at the laptop scale, by id."""
    kept = []
    found = running.reproduce(
        study, "laptop", list(wanted), seeds=seeds, runs=folder, keep=kept.append, command="test"
    )
    assert kept == found
    return {outcome.id: outcome for outcome in found}
