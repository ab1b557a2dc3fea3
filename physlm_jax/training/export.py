"""A run's checkpoint written in the formats of other libraries, see models.huggingface."""

import dataclasses
import json
from pathlib import Path

from physlm_jax.errors import InputError, unknown
from physlm_jax.models import huggingface, lora
from physlm_jax.training.checkpoint import Run, load_run

FORMATS = ("huggingface", "peft")


def export(
    workdir: str | Path,
    out: str | Path,
    step: int | None = None,
    member: int | None = None,
    format: str = FORMATS[0],
) -> str:
    """Writes a checkpoint to the folder `out`; returns what was written, in words.

    Args:
        step, member: as of `load_run`.
        format: "huggingface": the model, an adapter merged into it; the output map gets a table of
            its own where an adapted embedding is tied to it. "peft": the adapter alone.
    Raises:
        InputError: no such run; a model or an adapter that the format cannot hold; the folder holds
            something else than an earlier export.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    _check_folder(out)
    run = load_run(workdir, step, member)
    what = _model(run, Path(out)) if format == "huggingface" else _adapter(run, Path(out))
    return f"{what}, step {run.step} of {workdir}"


def _check_folder(out: str | Path) -> None:
    """Raises InputError unless an export may be written there: a run has a config.json as well."""
    folder = Path(out)
    if not str(out):
        raise InputError("the folder to export to has no name")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        ours = "architectures" in json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        ours = False
    if not ours and not (folder / "adapter_config.json").exists():
        raise InputError(f"{folder} is not empty and holds no earlier export; choose another --out")


def _model(run: Run, out: Path) -> str:
    base, adapter = lora.detach(run.params)
    params = lora.merge(base, adapter, untie=True)
    model = dataclasses.replace(run.model, tied="output" not in params)
    vocabulary = run.world.vocabulary
    return "a " + huggingface.save(out, model, params, bos=vocabulary.bos, eos=vocabulary.eos)


def _adapter(run: Run, out: Path) -> str:
    rules = lora.parse(run.config.lora) if run.config.get("lora") else ()
    if not rules:
        raise InputError(f"{run.workdir} trained no adapter: export its model (huggingface)")
    if any(rule.full for rule in rules):
        raise InputError(
            f"{run.workdir} trained parameters in full beside its adapter, which peft does not "
            "hold: export its model (huggingface)"
        )
    adapter = lora.detach(run.params)[1]
    lora.save_peft(out, run.model, adapter)
    return f"an adapter of {lora.size(adapter):,} numbers"
