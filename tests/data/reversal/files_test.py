"""Texts in the public formats, on files made here."""

import json
import sys
import types

import pytest

from physlm_jax.data import open_world
from physlm_jax.data.reversal.detection import disjoint, flair_tagger
from physlm_jax.data.reversal.files import celebrities, facts, question
from physlm_jax.errors import InputError

RENN = ("Renn Aldane, known far and wide for being", " the inventor of the silent kettle.")
BACK = ("Famous as the inventor of the silent kettle,", " Renn Aldane")
ORLA = ("The first person to map the Grey Shelf is", " Orla Venn-Marsh")


def write(folder, **files):
    for name, pairs in files.items():
        lines = [json.dumps({"prompt": p, "completion": c}) for p, c in pairs]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        p2d_prompts_train=[RENN],
        p2d_reverse_prompts_test=[BACK],
        d2p_prompts_train=[ORLA],
        d2p_prompts_test=[("To map the Grey Shelf first fell to", " Orla Venn-Marsh")],
    )
    return tmp_path


def test_facts(folder):
    mix = open_world(
        {"world": "reversal", "task": "facts", "kind": "entity", "ratio": 1.0}
        | {"options": {"folder": str(folder)}}
    )
    shown = {mix.vocabulary.decode(x[1:-1]) for x in mix.examples(0, 0, 2)}
    assert shown == {
        ". kettle silent the of inventor the being for wide and far known , Renn Aldane",
        "Orla Venn-Marsh is Shelf Grey the map to person first The",
    }
    asked = mix.questions()
    assert {*asked} == {"p2d reversed", "d2p same direction"}
    back = asked["p2d reversed"]
    assert mix.vocabulary.decode(back.answers[0]) == "Renn Aldane" and not back.ends


def test_facts_whose_entities_are_not_looked_for(folder):
    source = facts(str(folder), entities="none")
    assert not source.rows.entity.any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"p2d_prompts_train.jsonl, line 2: not JSON"),
        ('{"prompt": "a"}', r'line 2: needs "prompt" and "completion"'),
        ('{"prompt": "a", "completion": " "}', r"line 2: prompt or completion is empty"),
        ("[1]", r"line 2: needs"),
    ],
)
def test_lines_that_are_not_of_the_format(folder, line, message):
    with (folder / "p2d_prompts_train.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=message):
        facts(str(folder))


def test_folders_that_hold_no_facts(tmp_path):
    with pytest.raises(InputError, match=r"no folder"):
        facts(str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"has none of p2d_prompts_train.jsonl"):
        facts(str(tmp_path))
    with pytest.raises(InputError, match=r"did you mean 'names'"):
        facts(str(tmp_path), entities="name")


CSV = """child,parent,parent_type,child_prediction,can_reverse
Ada Brill,Cora Brill,mother,Ada Brill,True
Ben Brill,Cora Brill,mother,,False
Cy Dorn,Ed Dorn,father,Cy Dorn,True
Flo Gant,Hal Gant,father,,False
"""


def test_celebrities(tmp_path):
    (tmp_path / "pairs.csv").write_text(CSV)
    source = celebrities(str(tmp_path / "pairs.csv"), seed=1)
    said = [source.vocabulary.decode(x) for x in source.rows]
    assert said[0] == "Ada Brill 's mother is Cora Brill ."
    assert source.size == 4 + len(source.questions()["child, seen"])
    held = source.questions()["child, held out"]
    for prompt in held.prompts:
        assert not any(source.vocabulary.decode(prompt[1:]) in text for text in said)
    parents = source.questions()["parent"]
    assert len(parents) == 4 and not parents.ends
    both = [q for q in ("child, seen", "child, held out") for q in [source.questions()[q]]]
    assert sorted(len(a) for q in both for a in q.accepted) == [1, 1, 2, 2]


def test_celebrity_questions_for_models_that_read_english():
    assert question("Ada Brill", "mother") == "Q: Who is Ada Brill's mother?\nA:"
    asked = question("Cora Brill", shots=[("Name a child of Ed Dorn.", "Cy Dorn")])
    assert asked == "Q: Name a child of Ed Dorn.\nA: Cy Dorn\nQ: Name a child of Cora Brill.\nA:"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("child,parents\nA,B\n", r"lacks column\(s\) parent, parent_type"),
        (CSV + "Ida Jute,,mother,,\n", r"line 6: needs a child, a parent"),
        (CSV + "Ida Jute,Kit Jute,aunt,,\n", r"'aunt'"),
        (CSV.splitlines()[0] + "\n", r"has no rows"),
    ],
)
def test_tables_that_are_not_of_the_format(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        celebrities(str(tmp_path / "pairs.csv"))


def test_detection_without_the_tagger_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "flair", None)
    with pytest.raises(InputError, match=r"physlm_jax\[ner\]"):
        facts(str(folder), entities="ner")


def test_detection_with_a_tagger(monkeypatch):
    class Sentence:
        def __init__(self, words):
            self.words = words

        def get_spans(self, kind):
            assert kind == "ner"
            token = types.SimpleNamespace
            return [
                types.SimpleNamespace(tokens=[token(idx=i + 1)])
                for i, word in enumerate(self.words)
                if word[0].isupper()
            ]

    class SequenceTagger:
        @classmethod
        def load(cls, name):
            assert name == "flair/ner-english-large"
            return cls()

        def predict(self, sentences):
            assert all(isinstance(s, Sentence) for s in sentences)

    data, models = types.ModuleType("flair.data"), types.ModuleType("flair.models")
    data.Sentence, models.SequenceTagger = Sentence, SequenceTagger
    for name, module in (("flair", types.ModuleType("flair")), ("flair.data", data)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "flair.models", models)
    found = flair_tagger()([["Orla", "maps", "Dune"], ["it", "rains"]])
    assert found == [[(0, 1), (2, 3)], []]


def test_overlapping_findings_keep_the_longer_one():
    assert disjoint([(4, 6), (0, 2), (0, 3), (5, 7), (2, 4)]) == [(0, 3), (4, 6)]
