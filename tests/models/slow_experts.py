"""A mixture of experts in float64 NumPy, token by token: who is chosen, and who has room."""

import numpy as np


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def linear(p, expert, x):
    y = x @ p["kernel"][expert].astype(np.float64)
    return y + p["bias"][expert] if p.get("bias") is not None else y


def one_expert(p, expert, x):
    """One vector through one expert."""
    return linear(p["expert_down"], expert, gelu(linear(p["expert_up"], expert, x)))


def probabilities(p, x):
    logits = x @ p["router"]["kernel"].astype(np.float64)
    e = np.exp(logits - logits.max())
    return e / e.sum()


def token(p, x, chosen, most, taken):
    """What is added for one token, and the chosen experts, each with whether it had room.

    `taken` counts the tokens that each expert took of those before it in the row; it is changed.
    """
    odds = probabilities(p, x)
    order = sorted(range(len(odds)), key=lambda e: (-odds[e], e))[:chosen]
    total = 1.0 if chosen == 1 else sum(odds[e] for e in order)
    y, fates = np.zeros(len(x)), []
    for expert in order:
        fits = taken[expert] < most
        fates.append((expert, fits))
        if fits:
            taken[expert] += 1
            y = y + odds[expert] / total * one_expert(p, expert, x)
    return y, fates


def rows(p, x_BTD, chosen, most, counted=None):
    """(results, balance, dropped, kept[B, T, k], experts[B, T, k]) of many rows."""
    B, T, D = x_BTD.shape
    M = p["router"]["kernel"].shape[1]
    counted = np.ones((B, T)) if counted is None else counted
    y = np.zeros((B, T, D))
    kept, experts = np.zeros((B, T, chosen), bool), np.zeros((B, T, chosen), int)
    asked, likely, lost, total = np.zeros(M), np.zeros(M), 0.0, 0.0
    for b in range(B):
        taken = np.zeros(M, int)
        for t in range(T):
            x, w = x_BTD[b, t].astype(np.float64), counted[b, t]
            y[b, t], fates = token(p, x, chosen, most, taken)
            total += w
            likely += w * probabilities(p, x)
            for j, (expert, fits) in enumerate(fates):
                kept[b, t, j], experts[b, t, j] = fits, expert
                asked[expert] += w / chosen
                lost += w * (not fits) / chosen
    balance = M * (asked / total) @ (likely / total)
    return y, balance, lost / total, kept, experts
