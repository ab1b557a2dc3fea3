"""Which parameters an adapter updates, and how: rules over parameter paths, first match wins.

In text, as a configuration holds it:

    attention/(query|value): rank=8, alpha=16; ^embedding$: rank=128, alpha=4, scale=constant

A pattern is searched for in paths such as `blocks/3/attention/query/kernel` (layer 3), `embedding`
and `output/kernel`. Low-rank rules see matrices alone (kernels and tables), `full` ones all; the
stacked matrices of experts can be trained in full only.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from physlm_jax.errors import InputError, unknown
from physlm_jax.models import transformer
from physlm_jax.models.lora.adapter import STACKED
from physlm_jax.models.paths import flat
from physlm_jax.models.transformer import TransformerConfig

SCALES = ("alpha_over_r", "alpha_over_sqrt_r", "constant")
INITS = ("default", "gaussian", "zero_down")
TABLES = ("embedding", "positions")


@dataclasses.dataclass(frozen=True)
class Rule:
    """How the parameters that a pattern finds are trained.

    Attributes:
        pattern: regular expression, searched for in the path.
        rank: R.  alpha: of the scale.
        scale: what the update is multiplied with: alpha / R (the paper), alpha / sqrt(R) (rsLoRA),
            or alpha itself (Physics of Language Models, Part 3.2: alpha = 4).
        init: "default": down uniform within 1 / sqrt(inputs) and up zero for kernels (loralib and
            PEFT); down zero and up standard normal for tables. "gaussian": down normal with
            standard deviation 1 / R, up zero. "zero_down": down zero, up normal with standard
            deviation 1 / sqrt(R) (the convention of Part 3.2; the deviation is our choice).
        dropout: share of the inputs of down that are dropped in training; not for tables.
        dora: also learn the lengths of the columns (kernels only).
        full: no low rank: train the parameter itself.
        tied: of the embedding of a tied model: also update the output map (else what is read
            alone; the papers do not say which they did).
    """

    pattern: str
    rank: int = 0
    alpha: float = 8.0
    scale: str = "alpha_over_r"
    init: str = "default"
    dropout: float = 0.0
    dora: bool = False
    full: bool = False
    tied: bool = False

    def __post_init__(self) -> None:
        where = f"lora rule '{self.pattern}'"
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise InputError(f"{where}: not a regular expression: {error}") from None
        for field, allowed in (("scale", SCALES), ("init", INITS)):
            if getattr(self, field) not in allowed:
                raise unknown(field, getattr(self, field), allowed, where)
        if self.rank < 0 or self.full == (self.rank > 0):
            raise InputError(f"{where}: needs rank=1 or more, or full=True, and not both")
        if not 0 <= self.dropout < 1:
            raise InputError(f"{where}: dropout must be in [0, 1), got {self.dropout}")

    @property
    def factor(self) -> float:
        """What the update is multiplied with."""
        over = {"alpha_over_r": self.rank, "alpha_over_sqrt_r": self.rank**0.5, "constant": 1.0}
        return self.alpha / over[self.scale]


@dataclasses.dataclass(frozen=True)
class Target:
    """A parameter of a model.

    Attributes:
        path: in the tree.  layer: which of the stack; None: not in it.
        shape: of this layer's.  names: logical names of its axes.
    """

    path: tuple[str, ...]
    layer: int | None
    shape: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """As patterns see it."""
        if self.layer is None:
            return "/".join(self.path)
        return "/".join((self.path[0], str(self.layer), *self.path[1:]))

    @property
    def is_table(self) -> bool:
        """Read by look-ups."""
        return self.path[-1] in TABLES

    @property
    def is_matrix(self) -> bool:
        """It is one, or a stack of the experts'."""
        return self.is_table or self.path[-1] == "kernel"

    @property
    def inputs(self) -> int:
        """How many of its axes are on the input side."""
        ends = [i for i, name in enumerate(self.names) if name != "head_dim"][1:]
        return ends[0] if ends else len(self.names)


def targets(config: TransformerConfig) -> list[Target]:
    """Returns every parameter of a model, layer by layer."""
    found = []
    leaves = flat(transformer.abstract(config))
    names = flat(transformer.axes(config))
    for path, leaf in leaves.items():
        if path[0] != STACKED:
            found.append(Target(path, None, leaf.shape, names[path]))
            continue
        found += [
            Target(path, layer, leaf.shape[1:], names[path][1:]) for layer in range(config.layers)
        ]
    return found


def parse(text: str) -> tuple[Rule, ...]:
    """Returns the rules of a text, see the module.

    Raises:
        InputError: a part that is not "pattern: key=value, ...", a key or value that is not known.
    """
    rules = tuple(_rule(part.strip()) for part in text.split(";") if part.strip())
    if not rules:
        raise InputError("lora: no rules; write e.g. 'attention/(query|value): rank=8, alpha=16'")
    return rules


def _rule(text: str) -> Rule:
    pattern, colon, settings = text.rpartition(":")
    if not colon:
        raise InputError(f"lora rule '{text}': write 'pattern: rank=8, alpha=16'")
    kinds = {f.name: f.type for f in dataclasses.fields(Rule)[1:]}
    values: dict[str, Any] = {}
    for setting in filter(None, (s.strip() for s in settings.split(","))):
        key, equals, value = (part.strip() for part in setting.partition("="))
        if key not in kinds:
            raise unknown("setting", key, kinds, f"lora rule '{pattern.strip()}'")
        values[key] = _value(key, value if equals else "True", kinds[key])
    return Rule(pattern.strip(), **values)


def _value(key: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"True": True, "False": False}[text]
        return kind(text)
    except (ValueError, KeyError):
        raise InputError(
            f"lora: {key} needs a value of type {kind.__name__}, got '{text}'"
        ) from None


def check(config: TransformerConfig, rules: Sequence[Rule]) -> None:
    """Checks that rules fit a model; see `chosen`."""
    chosen(config, rules)


def chosen(config: TransformerConfig, rules: Sequence[Rule]) -> dict[Target, Rule]:
    """Returns the rule of every parameter that has one.

    Raises:
        InputError: a rule that decides nothing; settings that must agree over a stack and do not;
            DoRA or dropout for a table; an update of low rank for experts.
    """
    found: dict[Target, Rule] = {}
    every = targets(config)
    for target in every:
        for rule in rules:
            if (rule.full or target.is_matrix) and re.search(rule.pattern, target.name):
                found[target] = rule
                break
    for rule in rules:
        if rule not in found.values():
            names = [t.name for t in every if rule.full or t.is_matrix]
            raise InputError(_idle(rule, names))
    for target, rule in found.items():
        if not rule.full and "expert" in target.names:
            raise InputError(
                f"lora rule '{rule.pattern}': {target.name} is a matrix for each expert, of which "
                "updates of low rank are not implemented; narrow the pattern, or train it in full"
            )
        if rule.tied and (rule.full or target.path != ("embedding",) or not config.tied):
            raise InputError(
                f"lora rule '{rule.pattern}': tied is of updates of low rank of an embedding that "
                f"is the output map too, not of {target.name}"
            )
        if target.is_table and (rule.dora or rule.dropout):
            raise InputError(
                f"lora rule '{rule.pattern}': {target.name} has no dora and no dropout"
            )
    _check_stacks(config, found)
    return found


def _idle(rule: Rule, names: list[str]) -> str:
    if any(re.search(rule.pattern, name) for name in names):
        return f"lora rule '{rule.pattern}' decides nothing: earlier rules match all that it does"
    near = str(unknown("parameter", rule.pattern, names)).rpartition("did you mean")[2]
    hint = f"; did you mean{near}" if near and len(near) < 80 else f"; e.g. '{names[-1]}'"
    return f"lora rule '{rule.pattern}' matches no parameter{hint}"


def _check_stacks(config: TransformerConfig, found: dict[Target, Rule]) -> None:
    """Ranks and scales may differ over the layers of a stack, and some may have none."""
    stacks: dict[tuple[str, ...], list[Rule]] = {}
    for target, rule in found.items():
        if target.layer is not None:
            stacks.setdefault(target.path, []).append(rule)
    for path, rules in stacks.items():
        name = "/".join(path)
        if any(rule.full for rule in rules) and len({*rules}) + (len(rules) < config.layers) > 1:
            raise InputError(f"lora: {name} must be trained in full in all layers or in none")
        for field in ("dropout", "dora"):
            if len({getattr(rule, field) for rule in rules}) > 1:
                raise InputError(f"lora: {name} needs one value of {field} for all its layers")
        if rules[0].dora and len(rules) < config.layers:
            raise InputError(f"lora: {name} needs dora in all layers or in none")


def table(config: TransformerConfig, rules: Sequence[Rule]) -> str:
    """Returns what rules would do, one parameter a line, and the number of trained numbers."""
    found = chosen(config, rules)
    lines = [("parameter", "shape", "rank", "scale", "trained")]
    total = 0
    for target, rule in found.items():
        count = trained(target, rule)
        total += count
        rank, scale = ("full", "") if rule.full else (str(rule.rank), f"{rule.factor:g}")
        shape = " x ".join(map(str, target.shape))
        lines.append((target.name, shape, rank, scale, f"{count:,}"))
    base = transformer.parameter_count(config)
    lines.append(("in all", f"of {base:,}", "", f"1 : {base / total:,.0f}", f"{total:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(row, widths) for row in lines)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Two columns of text, then numbers."""
    sides = [str.ljust, str.ljust, *[str.rjust] * (len(row) - 2)]
    return "  ".join(side(c, w) for side, c, w in zip(sides, row, widths, strict=True))


def trained(target: Target, rule: Rule) -> int:
    """Number of trained numbers of one parameter: R (inputs + outputs), section 4.2."""
    into, out = _product(target.shape[: target.inputs]), _product(target.shape[target.inputs :])
    if rule.full:
        return into * out
    return rule.rank * (into + out) + (out if rule.dora else 0)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
