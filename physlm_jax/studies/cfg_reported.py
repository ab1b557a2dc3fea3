"""The figures that Part 1 reports for its decoders, as far as its claims are run here.

Source: arXiv 2305.13673v4, the tables of Results 1-5; read off the paper's figures. Keys are
(grammar, position embedding): "learned" is the paper's GPT, "rotary" its GPT_rot.
"""

GRAMMARS = ("cfg3b", "cfg3i", "cfg3h", "cfg3g", "cfg3f", "cfg3e1", "cfg3e2")

# Generation accuracy, %, cut 0 and cut 50.
ACCURACY: dict[tuple[str, str], tuple[float, float]] = {
    ("cfg3b", "learned"): (99.8, 99.8),
    ("cfg3i", "learned"): (99.5, 99.5),
    ("cfg3h", "learned"): (96.8, 96.9),
    ("cfg3g", "learned"): (64.1, 63.8),
    ("cfg3f", "learned"): (57.1, 57.3),
    ("cfg3e1", "learned"): (98.1, 98.9),
    ("cfg3e2", "learned"): (99.3, 99.5),
    ("cfg3b", "rotary"): (99.8, 99.9),
    ("cfg3i", "rotary"): (99.4, 99.5),
    ("cfg3h", "rotary"): (99.6, 99.5),
    ("cfg3g", "rotary"): (98.6, 98.4),
    ("cfg3f", "rotary"): (97.6, 97.7),
    ("cfg3e1", "rotary"): (98.2, 98.9),
    ("cfg3e2", "rotary"): (99.6, 99.7),
}

# Entropy of what the model writes, bits per string, and of the language.
ENTROPY: dict[tuple[str, str], float] = {
    ("cfg3b", "learned"): 169,
    ("cfg3i", "learned"): 190,
    ("cfg3h", "learned"): 203,
    ("cfg3g", "learned"): 272,
    ("cfg3f", "learned"): 275,
    ("cfg3e1", "learned"): 214,
    ("cfg3e2", "learned"): 252,
    ("cfg3b", "rotary"): 169,
    ("cfg3i", "rotary"): 189,
    ("cfg3h", "rotary"): 203,
    ("cfg3g", "rotary"): 268,
    ("cfg3f", "rotary"): 272,
    ("cfg3e1", "rotary"): 213,
    ("cfg3e2", "rotary"): 251,
}
TRUE_ENTROPY: dict[str, float] = {
    "cfg3b": 169,
    "cfg3i": 185,
    "cfg3h": 204,
    "cfg3g": 268,
    "cfg3f": 268,
    "cfg3e1": 216,
    "cfg3e2": 256,
}

# KL divergence of the next-token distributions, nats per token.
KL: dict[tuple[str, str], float] = {
    ("cfg3b", "learned"): 0.00008,
    ("cfg3i", "learned"): 0.00024,
    ("cfg3h", "learned"): 0.00078,
    ("cfg3g", "learned"): 0.00450,
    ("cfg3f", "learned"): 0.00455,
    ("cfg3e1", "learned"): 0.00019,
    ("cfg3e2", "learned"): 0.00031,
    ("cfg3b", "rotary"): 0.00009,
    ("cfg3i", "rotary"): 0.00028,
    ("cfg3h", "rotary"): 0.00023,
    ("cfg3g", "rotary"): 0.00047,
    ("cfg3f", "rotary"): 0.00060,
    ("cfg3e1", "rotary"): 0.00016,
    ("cfg3e2", "rotary"): 0.00025,
}

# Ancestor probe, last layer, all positions: % for NT6, NT5, NT4, NT3, NT2.
Levels = tuple[float, float, float, float, float]
FULL: dict[tuple[str, str], Levels] = {
    ("cfg3b", "learned"): (100, 100, 100, 100, 100),
    ("cfg3i", "learned"): (99.6, 99.7, 99.6, 99.2, 99.7),
    ("cfg3h", "learned"): (99.7, 98.3, 98.3, 99.2, 100),
    ("cfg3g", "learned"): (100, 99.2, 95.6, 94.6, 97.3),
    ("cfg3f", "learned"): (100, 97.6, 94.3, 88.4, 85.9),
    ("cfg3e1", "learned"): (100, 100, 100, 100, 100),
    ("cfg3e2", "learned"): (99.9, 100, 100, 100, 100),
    ("cfg3b", "rotary"): (100, 100, 100, 100, 100),
    ("cfg3i", "rotary"): (99.6, 99.7, 99.6, 99.2, 99.8),
    ("cfg3h", "rotary"): (99.7, 98.4, 98.2, 99.3, 100),
    ("cfg3g", "rotary"): (100, 99.3, 96.6, 97.2, 99.0),
    ("cfg3f", "rotary"): (100, 97.7, 95.2, 93.3, 94.2),
    ("cfg3e1", "rotary"): (100, 100, 100, 100, 100),
    ("cfg3e2", "rotary"): (99.9, 100, 100, 100, 100),
}
FULL_RANDOM: dict[str, Levels] = {
    "cfg3b": (85.0, 65.7, 56.8, 61.5, 62.7),
    "cfg3i": (84.6, 71.7, 64.6, 66.4, 65.2),
    "cfg3h": (67.5, 47.2, 50.6, 66.3, 92.8),
    "cfg3g": (70.8, 56.4, 49.4, 57.0, 73.1),
    "cfg3f": (71.3, 49.9, 44.6, 59.1, 68.6),
    "cfg3e1": (45.4, 27.6, 34.6, 47.2, 76.3),
    "cfg3e2": (36.0, 16.6, 23.5, 44.6, 78.3),
}

# Diagonal probe tested at the ends of subtrees: % for NT6, NT5, NT4, NT3, NT2.
DIAGONAL: dict[tuple[str, str], Levels] = {
    ("cfg3b", "learned"): (100, 100, 99.6, 99.8, 100),
    ("cfg3i", "learned"): (97.2, 98.4, 100, 100, 100),
    ("cfg3h", "learned"): (99.8, 99.6, 99.3, 100, 100),
    ("cfg3g", "learned"): (100, 100, 99.6, 99.0, 99.4),
    ("cfg3f", "learned"): (100, 99.1, 99.1, 98.2, 96.2),
    ("cfg3e1", "learned"): (100, 100, 100, 100, 100),
    ("cfg3e2", "learned"): (99.6, 99.9, 100, 100, 100),
    ("cfg3b", "rotary"): (100, 100, 99.6, 99.8, 100),
    ("cfg3i", "rotary"): (97.2, 98.4, 100, 100, 100),
    ("cfg3h", "rotary"): (99.8, 99.7, 99.4, 100, 100),
    ("cfg3g", "rotary"): (100, 100, 99.7, 99.5, 99.8),
    ("cfg3f", "rotary"): (100, 99.2, 99.3, 98.9, 98.1),
    ("cfg3e1", "rotary"): (100, 100, 100, 100, 100),
    ("cfg3e2", "rotary"): (99.6, 99.9, 100, 100, 100),
}
DIAGONAL_RANDOM: dict[str, Levels] = {
    "cfg3b": (91.3, 75.6, 66.8, 68.0, 83.4),
    "cfg3i": (76.9, 67.2, 65.4, 67.2, 81.3),
    "cfg3h": (71.8, 50.5, 53.7, 70.2, 89.7),
    "cfg3g": (70.7, 59.9, 54.2, 62.6, 79.3),
    "cfg3f": (75.4, 58.8, 54.4, 66.4, 77.6),
    "cfg3e1": (36.5, 26.1, 38.2, 58.5, 82.0),
    "cfg3e2": (38.6, 23.4, 30.4, 52.3, 82.7),
}
