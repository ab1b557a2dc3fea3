"""What a configuration asks for, worked out and checked before anything is computed or written."""

import dataclasses
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from physlm_jax.data import World, open_world
from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.parallel.mesh import make_mesh, row_groups
from physlm_jax.pipeline import PackingConfig
from physlm_jax.training.config import model_config, packing_config, validate
from physlm_jax.training.optimizer import Numbers, numbers, recipe
from physlm_jax.training.population import member_configs
from physlm_jax.training.step import Program


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run (or a population of runs), ready to be compiled for its devices.

    Attributes:
        config: as given.  members: each member's own; the configuration itself where it is alone.
        worlds: of each member.  packing: how rows are made.  program: all that is compiled.
    """

    config: ConfigDict
    members: tuple[ConfigDict, ...]
    worlds: tuple[World, ...]
    packing: PackingConfig
    program: Program

    @property
    def numbers(self) -> list[Numbers]:
        """Each member's numbers of the optimizer."""
        return [numbers(member.optimizer) for member in self.members]

    @property
    def seeds(self) -> list[int]:
        """Each member's seed of the parameters."""
        return [member.seed for member in self.members]

    def flops(self) -> float:
        """Floating-point operations of one update of all members."""
        length = self.packing.length
        each = transformer.train_flops_per_token(self.program.model, length)
        if self.program.adapter:  # no gradients of the frozen matrices
            each -= 2 * transformer.multiplied(self.program.model, length)
        return each * length * self.config.batch * len(self.members)

    def summary(self) -> str:
        """Returns what would be trained, as text; for an adapter, parameter by parameter."""
        model, config, members = self.program.model, self.config, len(self.members)
        rows = f"{config.batch} x {self.packing.length} tokens"
        lines = [
            f"{members} x "
            * (members > 1)
            + f"{transformer.parameter_count(model):,} parameters, {config.steps:,} updates of "
            f"{rows}, {self.flops() * config.steps:.3g} FLOPs in all"
        ]
        if self.program.adapter:
            lines += ["of these, frozen but for:", lora.table(model, self.program.adapter)]
        return "\n".join(lines)


def make_plan(config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Plan:
    """Returns the plan of a configuration.

    Args:
        devices: those to run on, default all; may be abstract ones of a topology.
    Raises:
        InputError: a value out of range, sizes that do not go together, members of a population
            that are not one program.
    """
    validate(config)
    members = member_configs(config)
    worlds = tuple(open_world(member.data) for member in members)
    models = [model_config(m, world) for m, world in zip(members, worlds, strict=True)]
    recipes = [recipe(member.optimizer, member.steps) for member in members]
    for i, pair in enumerate(zip(models, recipes, strict=True)):
        if pair != (models[0], recipes[0]):
            raise InputError(
                f"members 0 and {i} of the population are not one program: vocabularies, or "
                "whether gradients are clipped, differ"
            )
    mesh = make_mesh(config.mesh, devices)
    if len(members) % mesh.shape["population"]:
        raise InputError(
            f"config.population {len(members)} does not divide over config.mesh.population "
            f"{mesh.shape['population']}"
        )
    bases = [(m.base.run, m.base.step) for m in members]
    if len({*bases}) > 1:
        raise InputError("config.members: all members start from one run (base.member may differ)")
    rules = lora.parse(config.lora) if config.lora else ()
    lora.check(models[0], rules)
    packing = packing_config(config)
    sources = {(m.data_seed, m.data.to_json()) for m in members}
    program = Program(
        models[0],
        recipes[0],
        mesh,
        config.accumulation,
        packing.mode == "best_fit",
        config.loss_chunks,
        members=len(members) if len(members) > 1 else 0,
        shared_rows=len(sources) == 1,
        adapter=rules,
        own_bases=len({m.base.member for m in members}) > 1,
    )
    check_rows(config, program)
    return Plan(config, members, worlds, packing, program)


def check_rows(config: ConfigDict, program: Program) -> None:
    """Checks that a batch divides over the devices.

    Raises:
        InputError: it does not; names the nearest batch that does.
    """
    cut = row_groups(program.mesh.shape)
    rows = config.batch // config.accumulation
    if rows % cut:
        raise InputError(
            f"config.batch {config.batch} in {config.accumulation} micro-batch(es) cannot be cut "
            f"over {cut} devices; the nearest batch that can is "
            f"{max(round(rows / cut), 1) * cut * config.accumulation}"
        )
