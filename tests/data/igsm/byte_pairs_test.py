"""GPT-2's vocabulary: its merges, the ids of roles, its files and what is wrong with others."""

import json

import gpt2_files as gpt2
import pytest

from physlm_jax.data import byte_pairs, igsm
from physlm_jax.errors import InputError

ROLES = {"<problem>": 222, "<solution>": 223, "<answer>": 224, "<end>": 50256}
PROBES = {"<start>": 225, "<stop>": 226, "<mid>": 227}  # around what a probe asks about


def test_roles_have_the_papers_ids(files):
    vocabulary = igsm.tokenizer(igsm.MED, files["two"])
    for role, number in (ROLES | PROBES).items():
        assert vocabulary.encode(role).tolist() == [number]
        assert vocabulary.decode([number]) == role
    assert (vocabulary.bos, vocabulary.eos, len(vocabulary)) == (222, 50256, 50257)
    example = igsm.tokens(igsm.MED, vocabulary, 0, 0, 1)[0].tolist()
    assert example[0] == 222 and example[-1] == 50256
    assert [i for i in example if i in (222, 223, 224, 50256)] == [222, 223, 224, 50256]


def test_merges_are_applied_in_their_order(files):
    ids = gpt2.vocabulary()
    vocabulary = igsm.tokenizer(igsm.MED, files["two"])

    def written(text):
        names = {n: name for name, n in ids.items()}
        return [names[int(i)] for i in vocabulary.encode(text)]

    assert written(" the") == ["Ġthe"]  # by "h e", though "Ġt he" was learned before
    assert written(" thine") == ["Ġt", "h", "ine"]
    assert written(" Define") == ["ĠDe", "fine"]
    assert written("'s 12") == ["'s", "Ġ12"]
    assert written("tea") == ["t", "ea"] and written("hea") == ["he", "a"]


def test_the_forms_of_files_are_alike(files, problems):
    vocabularies = [igsm.tokenizer(igsm.MED, path) for path in files.values()]
    for problem in problems["med"][:5]:
        first, *others = (v.encode(problem.prompt()).tolist() for v in vocabularies)
        assert all(ids == first for ids in others)


def test_byte_pairs_read_any_text(files):
    vocabulary = igsm.tokenizer(igsm.MED, files["two"])
    for text in (
        " Unicorn's  tail\n\n",
        "don't",
        "12 +34?!  ",
        " Häfen, Œuvre",
        " é.",
        " Ödön, 1920¿",
    ):
        assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids: ids.pop("<|endoftext|>"), r"expected ids 0\.\.50256 or more"),
        (lambda ids: ids.update({"x y": 7}), r"expected ids"),
        (lambda ids: ids.update({"Ā": 50257}) or ids.update({"": 188}), r"holds no byte-pair"),
        (lambda ids: ids.update({"new": 50257, "A": 50258}) or ids.pop("A"), r"expected ids"),
    ],
)
def test_broken_vocabularies(tmp_path, change, message):
    ids = gpt2.vocabulary()
    change(ids)
    if ids.get("") == 188:
        ids.pop("Ā")
        ids["new"] = 50257
    whole = {"model": {"vocab": ids, "merges": gpt2.MERGES}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=message):
        byte_pairs.read(tmp_path)


@pytest.mark.parametrize("merges", [["a b c"], ["ab"], [["a"]], [3], None])
def test_broken_merges(tmp_path, merges):
    whole = {"model": {"vocab": gpt2.vocabulary(), "merges": merges}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=r"holds no byte-pair vocabulary"):
        byte_pairs.read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {}}', '{"model": 3}', '"model"'])
def test_broken_files(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"holds no byte-pair vocabulary"):
        byte_pairs.read(tmp_path)


def test_half_of_the_files(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(gpt2.vocabulary()))
    with pytest.raises(InputError, match=r"holds no byte-pair vocabulary"):
        byte_pairs.read(tmp_path)
