"""Vocabularies: how the pieces of the language are spelled as token ids.

Three: whole names ("items"), the words of names ("words"), and GPT-2's byte pairs, from files that
the user has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from physlm_jax.data import byte_pairs
from physlm_jax.data.igsm.language import END, PAD, PIECES, PROBLEM, ROLES, pieces
from physlm_jax.data.igsm.spec import Spec
from physlm_jax.data.spelling import BytePairSpeller, Speller, spelled
from physlm_jax.errors import InputError

KINDS = ("items", "words")
_WORD = re.compile("'s| ?(?:(?!'s)[^ ,.;?])+|[,.;?]")


@dataclass(frozen=True)
class Tokenizer(Speller):
    """A vocabulary of one world's names.

    Attributes:
        world: those names; the pieces it spells are `language.pieces` of them.
    """

    world: tuple[str, ...] = ()

    def check(self, spec: Spec) -> None:
        """Checks that this vocabulary is one of a specification's.

        Raises:
            InputError: it has other names.
        """
        if self.world != spec.all_names:
            raise InputError("iGSM: the vocabulary was made for another specification's names")


@dataclass(frozen=True)
class BytePairTokenizer(BytePairSpeller, Tokenizer):
    """GPT-2's vocabulary; roles are ids 222.. and 50256, as in the papers."""


@lru_cache(maxsize=16)
def tokenizer(spec: Spec, kind: str = "items") -> Tokenizer:
    """Returns a vocabulary of a specification.

    Args:
        kind: "items", every name one token; "words", every word of a name; or the path of a folder
            or file with GPT-2's vocabulary (vocab.json and merges.txt, or tokenizer.json).

    Raises:
        InputError: no such vocabulary.
    """
    texts = pieces(spec.all_names)
    if kind == "items":
        parts = [(text,) for text in texts]
    elif kind == "words":
        fixed = [(text,) for text in PIECES]
        parts = [*fixed, *(tuple(_WORD.findall(text)) for text in texts[len(PIECES) :])]
    elif Path(kind).exists():
        return _byte_pairs(spec, texts, Path(kind))
    else:
        raise InputError(
            f"iGSM: vocabulary '{kind}' is neither one of {', '.join(KINDS)} nor a folder or file "
            "with GPT-2's"
        )
    names = tuple(dict.fromkeys(part for piece in parts for part in piece))
    ids = {name: i for i, name in enumerate(names)}
    spelling = tuple(tuple(ids[part] for part in piece) for piece in parts)
    return Tokenizer(names, PROBLEM, END, PAD, "", spelling, spec.all_names)


def _byte_pairs(spec: Spec, texts: Sequence[str], path: Path) -> Tokenizer:
    pairs = byte_pairs.read(path)
    roles = ((50256,), (222,), (223,), (224,), (50256,), (225,), (227,), (226,))
    spelling = (*roles, *spelled(texts[len(ROLES) :], pairs))
    specials = {name: ids[0] for name, ids in zip(ROLES, roles, strict=True)}
    return BytePairTokenizer(
        pairs.names,
        222,
        50256,
        50256,
        "",
        spelling,
        spec.all_names,
        pairs=pairs,
        specials=specials,
    )
