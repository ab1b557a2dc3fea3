"""Hidden words: the rule of 80, 10 and 10 per cent, whole words, and answers masked entirely."""

import numpy as np
import pytest
from toy import Toy

from physlm_jax.data import bios
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, pack_block, pack_rows

PEOPLE = bios.Population(300, 0, "mini")
WORLD = bios.Biographies((PEOPLE,), ("bioS",), "word")
PLAIN = PackingConfig(128, "exact", rows_per_block=32)
HIDDEN = PackingConfig(128, "exact", rows_per_block=32, masked=0.15)


def test_targets_are_the_row_itself_and_weights_are_where_words_were_chosen():
    plain, hidden = (pack_block(WORLD, p, 1, 0) for p in (PLAIN, HIDDEN))
    vocabulary = WORLD.vocabulary
    np.testing.assert_array_equal(hidden["targets"], plain["tokens"])
    chosen = hidden["weights"] == 1
    changed = hidden["tokens"] != plain["tokens"]
    assert not (changed & ~chosen).any()  # nothing else is touched
    special = np.isin(plain["tokens"], [vocabulary.pad, vocabulary.eos])
    assert not (chosen & special).any()
    assert not chosen[:, 0].any()  # a row's first token may be the end of a cut word


def test_shares_are_those_of_the_rule():
    rows = [pack_block(WORLD, HIDDEN, 1, b) for b in range(12)]
    chosen = np.concatenate([r["weights"].reshape(-1) == 1 for r in rows])
    tokens = np.concatenate([r["tokens"].reshape(-1) for r in rows])
    targets = np.concatenate([r["targets"].reshape(-1) for r in rows])
    words = ~np.isin(targets, [WORLD.vocabulary.pad, WORLD.vocabulary.eos])
    n = words.sum()
    assert abs(chosen.sum() / n - 0.15) < 4 * (0.15 * 0.85 / n) ** 0.5 + 0.01
    masked = (tokens == WORLD.vocabulary.mask)[chosen].mean()
    kept = (tokens == targets)[chosen].mean()
    error = 4 * (0.25 / chosen.sum()) ** 0.5
    assert abs(masked - 0.8) < error and abs(kept - 0.1) < error


def test_what_is_hidden_does_not_depend_on_who_asks_and_differs_by_block_and_seed():
    once = pack_rows(WORLD, HIDDEN, 1, range(40, 60))
    again = pack_rows(WORLD, HIDDEN, 1, range(32, 96))
    np.testing.assert_array_equal(once["tokens"], again["tokens"][8:28])
    blocks = [pack_block(WORLD, HIDDEN, s, b)["weights"] for s, b in ((1, 0), (1, 1), (2, 0))]
    assert not np.array_equal(blocks[0], blocks[1]) and not np.array_equal(blocks[0], blocks[2])


def test_words_in_pieces_are_hidden_whole():
    class Pieces(Toy):
        """Tokens 3, 5, .. begin a word, the others go on with one."""

        @property
        def vocabulary(self):
            plain = super().vocabulary
            names = [
                f"{'' if i % 2 else 'x'}{' ' if i % 2 else ''}{n}"
                for i, n in enumerate(plain.names)
            ]
            made = type("V", (), {"names": tuple(names), "bos": 0, "eos": 1, "pad": 2, "mask": 2})
            return made()

    rows = pack_block(Pieces(6, 20), PackingConfig(200, "concatenate", masked=0.3), 0, 0)
    words = np.cumsum(rows["targets"] % 2 == 1, axis=None).reshape(rows["targets"].shape)
    inner = rows["targets"] > 2
    for word in np.unique(words[inner]):
        weights = rows["weights"][(words == word) & inner]
        firsts = ((words == word) & inner)[:, 0].any()  # a word cut by a row's start
        assert firsts or len({*weights.tolist()}) == 1


def test_with_a_share_of_one_the_answers_are_asked_for():
    world = bios.Tasks(PEOPLE, ("major", "birth_date"), "word", prompt_weight=0.0)
    packing = PackingConfig(40, "single", rows_per_block=16, masked=1.0)
    rows = pack_block(world, packing, 0, 0)
    mask, eos = world.vocabulary.mask, world.vocabulary.eos
    for r, example in enumerate(world.examples(0, 0, 16)):
        text = world.vocabulary.decode(example)
        hidden = rows["weights"][r] == 1
        answer = world.vocabulary.decode(rows["targets"][r][hidden])
        assert text.endswith(answer + "<eos>") or text.removesuffix("<eos>").endswith(answer)
        assert (rows["tokens"][r][hidden] == mask).all() and answer.endswith(".")
        assert eos not in rows["targets"][r][hidden]


def test_a_vocabulary_without_a_mask_and_a_share_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"pipeline\.masked: the vocabulary of Toy has no mask"):
        pack_block(Toy(), PackingConfig(16, "concatenate", masked=0.15), 0, 0)
    with pytest.raises(InputError, match=r"packing\.masked must be a share in \[0, 1\], got 1\.5"):
        PackingConfig(16, masked=1.5)
