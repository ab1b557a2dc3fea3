"""Finds entities in real text with a pretrained tagger, an optional dependency.

The paper tags its pretraining corpus with the large English named-entity model of Flair; that is
slow and not exact, which is what random segments (kind "segment") do without. Where a generator
knows its entities, use those.
"""

from collections.abc import Callable, Sequence
from typing import Any

from physlm_jax.data.reversal.kinds import Span
from physlm_jax.errors import InputError

MODEL = "flair/ner-english-large"
Tagger = Callable[[Sequence[Sequence[str]]], list[list[Span]]]
"""Texts as words -> the spans of each one's entities, in words."""


def flair_tagger(model: str = MODEL) -> Tagger:
    """Returns a tagger of Flair's (the first use of a model downloads it, hundreds of megabytes).

    Raises:
        InputError: Flair is not installed.
    """
    try:
        from flair.data import Sentence
        from flair.models import SequenceTagger
    except ImportError:
        raise InputError(
            "entity detection needs the package flair: pip install 'physlm_jax[ner]'; without it "
            "use exact entities, or kind 'segment', which needs none"
        ) from None
    tagger = SequenceTagger.load(model)

    def tag(texts: Sequence[Sequence[str]]) -> list[list[Span]]:
        sentences = [Sentence(list(words)) for words in texts]
        tagger.predict(sentences)
        return [disjoint(_spans(sentence)) for sentence in sentences]

    return tag


def _spans(sentence: Any) -> list[Span]:
    """Flair counts tokens from 1."""
    return [(s.tokens[0].idx - 1, s.tokens[-1].idx) for s in sentence.get_spans("ner")]


def disjoint(spans: Sequence[Span]) -> list[Span]:
    """Returns spans sorted, without those that overlap an earlier or longer one."""
    kept: list[Span] = []
    for start, stop in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, stop))
    return kept
