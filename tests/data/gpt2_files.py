"""A stand-in for GPT-2's vocabulary, which only its owner has: as many ids, a few merges."""

MERGES = ["Ġ t", "Ġt he", "h e", "Ġ D", "ĠD e", "f ine", "i n", "in e", "' s", "Ġ 1", "Ġ1 2", "e a"]


def vocabulary() -> dict[str, int]:
    """The ids: 256 tokens of a byte, in GPT-2's order, the merges, and fillers up to 50256."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    names = [chr(b) for b in plain] + [chr(256 + i) for i in range(len(other))]
    names += [merge.replace(" ", "") for merge in MERGES]
    names += [f"filler{n}" for n in range(50256 - len(names))]
    return {name: n for n, name in enumerate([*names, "<|endoftext|>"])}
