"""Texts that a user supplies, in the public formats of the reversal curse's data (2309.12288).

- `facts`: a folder of JSON lines {"prompt", "completion"}. Invented people: for some the training
  texts give the name first (p2d), for others the description first (d2p), for others both;
- `celebrities`: a table child, parent, parent_type, child_prediction, can_reverse.

Models here are trained from scratch on closed vocabularies of these texts' words.
"""

import csv
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.permutation import permuted
from physlm_jax.data.questions import Questions
from physlm_jax.data.reversal.detection import flair_tagger
from physlm_jax.data.reversal.kinds import Span, split
from physlm_jax.data.reversal.source import Listed, special
from physlm_jax.errors import InputError, unknown

TRAIN = ("p2d_prompts_train", "d2p_prompts_train", "both_prompts_train")
TESTS = {
    "p2d same direction": "p2d_prompts_test",
    "p2d reversed": "p2d_reverse_prompts_test",
    "d2p same direction": "d2p_prompts_test",
    "d2p reversed": "d2p_reverse_prompts_test",
    "both": "both_prompts_test",
}
NAMED = ("d2p_prompts_train", "d2p_prompts_test", "p2d_reverse_prompts_test")  # they end in a name
COLUMNS = ("child", "parent", "parent_type", "child_prediction", "can_reverse")


def facts(folder: str, entities: str = "names", seed: int = 0) -> Listed:
    """Returns the invented facts of a folder: training texts and the tests it has.

    A completion that is a description must end the string; after a name anything may follow.

    Args:
        folder: of the files `TRAIN` and `TESTS`, those there are.
        entities: "names": the people's, known exactly (what the d2p completions and the reversed
            p2d tests consist of); "ner": what a tagger finds, see `detection`; "none".
    Raises:
        InputError: no such folder, no training file, or a line that is not of the format.
    """
    del seed  # nothing is drawn
    if entities not in ("names", "ner", "none"):
        raise unknown("source of entities", entities, ("names", "ner", "none"), "facts")
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"facts: no folder '{folder}'")
    found = {name: _lines(place / f"{name}.jsonl") for name in {*TRAIN, *TESTS.values()}}
    if not any(found[name] for name in TRAIN):
        raise InputError(f"facts: {folder} has none of {', '.join(f'{n}.jsonl' for n in TRAIN)}")
    names = {tuple(split(answer)) for name in NAMED for _, answer in found[name]}
    texts = [split(p + " " + c) for name in TRAIN for p, c in found[name]]
    every = [split(text) for pairs in found.values() for pair in pairs for text in pair]
    vocabulary = special(list(dict.fromkeys(w for words in every for w in words)))
    asked = {
        label: Questions.worded(vocabulary, _split(found[name]), ends=name not in NAMED)
        for label, name in TESTS.items()
        if found[name]
    }
    if entities == "ner":
        spans = flair_tagger()(texts)
    else:
        spans = [find(words, names) if entities == "names" else [] for words in texts]
    rows = [(words, found, True) for words, found in zip(texts, spans, strict=True)]
    return Listed.of(vocabulary, rows, asked)


def find(words: Sequence[str], names: Iterable[tuple[str, ...]]) -> list[Span]:
    """Returns where names stand in a text, from left to right, the longest first."""
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        by_first.setdefault(name[0], []).append(name)
    spans, place = [], 0
    while place < len(words):
        here = [n for n in by_first.get(words[place], ()) if (*words[place : place + len(n)],) == n]
        length = max(map(len, here), default=0)
        spans += [(place, place + length)] if length else []
        place += max(length, 1)
    return spans


def celebrities(file: str, seed: int = 0) -> Listed:
    """Returns celebrities and their parents: all pairs named child first, half also parent first.

    Training texts: `CHILD 's mother is PARENT .`, and for half of the parents
    `PARENT is the mother of CHILD .`. Asked are the child's parent, and the child of the others;
    a parent of several children has several right answers.

    Args:
        file: the table.  seed: which half is held out.
    Raises:
        InputError: no such file, other columns, or an empty cell.
    """
    pairs = _table(file)
    parents = list(dict.fromkeys(p for _, p, _ in pairs))
    if len(parents) < 2:
        raise InputError(f"celebrities: {file} needs at least two parents")
    order = permuted(np.arange(len(parents)), len(parents), stream_key(seed, "held out"))
    held = {parents[i] for i in order[: len(parents) // 2]}
    texts: list[tuple[list[str], list[Span], bool]] = []
    for child, parent, kind in pairs:
        forward = [*child, "'s", kind, "is", *parent, "."]
        begin = len(child) + 3
        texts.append((forward, [(0, len(child)), (begin, begin + len(parent))], True))
    for child, parent, kind in pairs:
        if parent not in held:
            backward = [*parent, "is", "the", kind, "of", *child, "."]
            begin = len(parent) + 4
            texts.append((backward, [(0, len(parent)), (begin, begin + len(child))], True))
    vocabulary = special(list(dict.fromkeys(w for text, _, _ in texts for w in text)))

    ask = functools.partial(Questions.worded, vocabulary, ends=False)
    down = [([*parent, "is", "the", kind, "of"], child, parent) for child, parent, kind in pairs]
    asked = {
        "parent": ask([([*child, "'s", kind, "is"], parent) for child, parent, kind in pairs]),
        "child, seen": ask([(p, c) for p, c, parent in down if parent not in held]),
        "child, held out": ask([(p, c) for p, c, parent in down if parent in held]),
    }
    return Listed.of(vocabulary, texts, asked)


def question(
    child_or_parent: str, parent_type: str = "", shots: Sequence[tuple[str, str]] = ()
) -> str:
    """Returns the prompt for a model that reads English: of a child's parent, or a child.

    Args:
        child_or_parent: the name.  parent_type: "mother" or "father" asks for a child's; "" asks
            for a child of a parent.
        shots: (question, answer) pairs that precede (the paper: six).
    """
    asked = (
        f"Who is {child_or_parent}'s {parent_type}?"
        if parent_type
        else (f"Name a child of {child_or_parent}.")
    )
    return "\n".join([*(f"Q: {q}\nA: {a}" for q, a in shots), f"Q: {asked}\nA:"])


def _split(pairs: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    return [(split(prompt), split(answer)) for prompt, answer in pairs]


def _lines(path: Path) -> list[tuple[str, str]]:
    """(prompt, completion) of each line; none where there is no file."""
    if not path.is_file():
        return []
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON: {error.msg}") from None
        if not isinstance(row, Mapping) or not {"prompt", "completion"} <= row.keys():
            raise InputError(f'{path}, line {number}: needs "prompt" and "completion"')
        if not (split(str(row["prompt"])) and split(str(row["completion"]))):
            raise InputError(f"{path}, line {number}: prompt or completion is empty")
        pairs.append((str(row["prompt"]), str(row["completion"])))
    return pairs


def _table(file: str) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """(child, parent, mother or father) of each row, names as words."""
    if not Path(file).is_file():
        raise InputError(f"celebrities: no file '{file}'")
    with open(file, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [c for c in COLUMNS[:3] if c not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"celebrities: {file} lacks column(s) {', '.join(missing)}; needs "
                f"{', '.join(COLUMNS[:3])}"
            )
        rows = list(reader)
    pairs = []
    for number, row in enumerate(rows, 2):
        child, parent, kind = ((row[c] or "").strip() for c in COLUMNS[:3])
        if not (split(child) and split(parent)) or kind not in ("mother", "father"):
            raise InputError(
                f"celebrities: {file}, line {number}: needs a child, a parent, and 'mother' or "
                f"'father'; got '{child}', '{parent}', '{kind}'"
            )
        pairs.append((tuple(split(child)), tuple(split(parent)), kind))
    if not pairs:
        raise InputError(f"celebrities: {file} has no rows")
    return pairs
