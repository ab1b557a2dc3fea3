"""How often a compiled program's loop runs.

XLA writes the number on a loop where it knows it and the backend keeps it; the TPU compiler drops
it. Then it is read from the loop itself: a counter that starts at a constant, grows by a constant,
and is compared with a constant.
"""

import re

from physlm_jax.parallel.hlo import Computation, Instruction, Program

_PASS = ("copy", "bitcast", "convert", "reshape", "copy-done", "copy-start")


def trip_count(program: Program, computation: Computation, loop: Instruction) -> int | None:
    """Returns how often the body of a `while` instruction runs; None if the text does not tell."""
    noted = re.search(r'known_trip_count\\*"?:\s*\{\\*"?n\\*"?:\\*"?(\d+)', loop.attributes)
    if noted:
        return int(noted.group(1))
    condition = program.computations[loop.attribute("condition").lstrip("%")]
    compared = _comparison(program, condition)
    if compared is None:
        return None
    counter, limit, direction = compared
    start = _carried(computation, loop, counter)
    if isinstance(limit, tuple):
        limit = _carried(computation, loop, limit[0])
    body = program.computations[loop.attribute("body").lstrip("%")]
    step = _step(program, body, counter)
    if start is None or limit is None or not step:
        return None
    distance = limit - start + (1 if direction == "LE" else 0)
    return max(0, -(-distance // step))


def _comparison(program: Program, condition: Computation) -> tuple | None:
    """(element of the state that counts, limit or (element that holds it,), direction)."""
    root, inside, arguments = condition.root, condition, None
    if root.opcode in ("fusion", "call"):
        arguments = root.operands
        inside = program.computations[root.called[0]]
        root = inside.root
    direction = root.attribute("direction")
    if root.opcode != "compare" or direction not in ("LT", "LE", "NE"):
        return None
    sides = [_value(condition, inside, name, arguments) for name in root.operands]
    if not isinstance(sides[0], tuple) or sides[1] is None:
        return None
    return sides[0][0], sides[1], direction


def _value(outer: Computation, inside: Computation, name: str, arguments) -> int | tuple | None:
    """An integer, or (i,) for element i of the state; looked up through a fusion's arguments."""
    found = _origin(inside, name)
    if found.opcode == "parameter" and arguments is not None:
        found = _origin(outer, arguments[int(found.literal)])
    if found.opcode == "get-tuple-element":
        return (int(found.attribute("index")),)
    return _integer(found)


def _carried(computation: Computation, loop: Instruction, element: int) -> int | None:
    """The value of an element of the state before the loop, if it is a constant."""
    state = computation.by_name[loop.operands[0]]
    if state.opcode != "tuple":
        return None
    return _integer(_origin(computation, state.operands[element]))


def _step(program: Program, body: Computation, element: int) -> int | None:
    """By how much the body moves the counter."""
    if body.root.opcode != "tuple":
        return None
    found = _origin(body, body.root.operands[element])
    if found.opcode in ("fusion", "call"):
        inner, arguments = program.computations[found.called[0]], found.operands
        sides = [_value(body, inner, name, arguments) for name in inner.root.operands]
        found = inner.root
    else:
        sides = [_value(body, body, name, None) for name in found.operands]
    steps = [side for side in sides if isinstance(side, int)]
    return steps[0] if found.opcode == "add" and len(steps) == 1 else None


def _origin(computation: Computation, name: str) -> Instruction:
    found = computation.by_name[name]
    while found.opcode in _PASS:
        found = computation.by_name[found.operands[0]]
    return found


def _integer(found: Instruction) -> int | None:
    if found.opcode != "constant" or not re.fullmatch(r"-?\d+", found.literal):
        return None
    return int(found.literal)
