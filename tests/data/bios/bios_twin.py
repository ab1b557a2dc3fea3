"""The biography world once more, slowly: plain Python from its definition, drawing the same words.

Nothing of the package but the lists of values and the wordings of sentences and questions is used.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from json import loads

from physlm_jax.data.bios.idle_talk import SENTENCES, in_full
from physlm_jax.data.bios.pools import pools as pools_of
from physlm_jax.data.bios.questions import QUESTIONS
from physlm_jax.data.bios.templates import TWO_WORDS

MASK = 2**64 - 1
ATTRIBUTES = ("birth date", "birth city", "university", "major", "employer", "company city")

# what each variant is: entries (0: no end), new wordings for each, order, full name in every
# sentence, sentences before the name (6: after all)
PLAIN = {"single": (1, False, "fixed"), "multi2": (2, True, "fixed"), "multi5": (5, True, "fixed")}
PLAIN |= {f"single+permute{p}": (p, False, "permuted") for p in (1, 2, 5)}
PLAIN |= {f"multi{m}+permute": (m, True, "permuted") for m in (2, 5)}
SIXTEEN = {
    name + suffix: (*how, bool(suffix), 0)
    for (name, how), suffix in product(PLAIN.items(), ("", "+fullname"))
}
VARIANTS = {
    **SIXTEEN,
    **{f"couple{m}": (m, True, "coupled", False, 0) for m in (1, 2, 5)},
    **{f"multi5+reverse{k}": (5, True, "fixed", False, k) for k in (1, 2, 6)},
    "multi5+permute+reverse6": (5, True, "permuted", False, 6),
    "multi-infinity+permute": (0, True, "permuted", False, 0),
    "multi-infinity": (0, True, "fixed", False, 0),
    "bioS": (0, True, "permuted", False, 0),
    "bioS-simple": (1, False, "permuted", False, 0),
    "bioR-single": (1, False, "permuted", False, 0),
    "bioR-multi40": (40, True, "permuted", False, 0),
    "bioR-multi3+fullname": (3, True, "permuted", True, 0),
}


def mix(word):
    """The finaliser of splitmix64."""
    z = (word + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def stream_key(seed, *purpose):
    """A key for one use of a seed."""
    text = "\x1f".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Draws:
    """A stream of random numbers."""

    def __init__(self, key):
        self.key = key

    def word(self):
        found = mix(self.key)
        self.key = (self.key + 0x9E3779B97F4A7C15) & MASK
        return found

    def below(self, bound):
        return (self.word() >> 32) * bound >> 32

    def uniform(self):
        return (self.word() >> 11) / 2**53

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1):
            j = i + self.below(len(items) - i)
            items[i], items[j] = items[j], items[i]
        return items


def permuted(index, size, key):
    """Where an index goes: six rounds of a network of two halves, until it lands below the size."""
    bits = max(1, (size - 1).bit_length())
    low = bits // 2
    while True:
        left, right, k = index >> low, index % 2**low, key
        for i in range(6):
            k = mix(k)
            if i % 2:
                right ^= mix(left ^ k) % 2**low
            else:
                left ^= mix(right ^ k) % 2 ** (bits - low)
        index = left << low | right
        if index < size:
            return index


def shown_at(index, size, seed, purpose):
    """The pass and the member that a place of a stream shows."""
    turn, place = divmod(index, size)
    return turn, permuted(place, size, mix(stream_key(seed, purpose) ^ mix(turn)))


@dataclass(frozen=True)
class Person:
    """Values as they are written; places in the lists where questions count."""

    name: str
    month: str
    day: str
    year: str
    values: dict
    pronoun: str
    major: int
    key: int


def person(pools, seed, number):
    """Person `number` of all of a seed."""
    lists = pools_of(pools)
    a, b, c = (len(lists.values_of(part)) for part in ("first", "middle", "last"))
    place = permuted(number, a * b * c, stream_key(seed, "names"))
    parts = (lists.first[place % a], lists.middle[place // a % b], lists.last[place // a // b])
    key = mix(mix(number) ^ stream_key(seed, "values"))
    draws = Draws(key)
    fields = ("month", "day", "year", "birth_city", "university", "major", "employer")
    places = {field: draws.below(lists.sizes[field]) for field in fields}
    said = {field: lists.values_of(field)[place] for field, place in places.items()}
    month, day, year, *values = said.values()
    headquarters = lists.company_city[lists.headquarters[places["employer"]]]
    stated = (f"{month} {day}, {year}", *values, headquarters)
    return Person(
        " ".join(parts),
        month,
        day,
        year,
        dict(zip(ATTRIBUTES, stated, strict=True)),
        ("He", "She")[draws.below(2)],
        places["major"],
        mix(key),
    )


def sentences(pools):
    """The wordings of each attribute, as texts with slots."""
    if pools == "mini":
        words = ([words.split() for words in pair] for pair in TWO_WORDS.values())
        made = ([f"{{subject}} {a} {b} {{value}}." for a in x for b in y] for x, y in words)
    else:
        text = files("physlm_jax.data.bios").joinpath("templates.json").read_text()
        read = loads(text)
        made = (read[attribute.replace(" ", "_")] for attribute in ATTRIBUTES)
    return dict(zip(ATTRIBUTES, made, strict=True))


def biography(pools, who, variant, seed, presentation):
    """One entry of a person: texts with their roles, which joined give the biography."""
    entries, reworded, order, fullname, name_at = VARIANTS[variant]
    rewritten = variant.startswith("bioR")
    entry = presentation % entries if entries else presentation
    own = mix(who.key ^ (0 if entries else stream_key(seed, "wording")))
    asked = in_order(order, Draws(mix((own + 2 * entry + 1) & MASK)))
    draws = Draws(mix((own + 2 * entry * reworded) & MASK))
    wordings = {a: texts[draws.below(len(texts))] for a, texts in sentences(pools).items()}
    idle = [0] * 6
    if rewritten:
        for _ in range(1 + draws.below(3)):
            idle[draws.below(6)] += 1
    said = []
    for place, attribute in enumerate(asked):
        joined = False
        if rewritten and place:
            joined = draws.below(1000) < 400 and not idle[place - 1]
        if joined:
            said[-1:] = [(", and", "other")]
        said += subject(who, wordings[attribute], place, name_at, fullname, joined)
        _, before, after = re.fullmatch(
            r"(\{subject\}(?:'s)?)(.*) \{value\}(.*)", wordings[attribute]
        ).groups()
        value = who.values[attribute]
        if rewritten and draws.below(2):
            value = otherwise(who, attribute)
        said += [(before, "other"), (" " + value, attribute), (after[:-1], "other"), (".", "other")]
        for _ in range(idle[place]):
            said.append((" " + who.name, "name") if fullname else (" " + who.pronoun, "pronoun"))
            said += [(" " + SENTENCES[draws.below(len(SENTENCES))], "other"), (".", "other")]
    if name_at == 6:
        said += [(" The person's name is", "other"), (" " + who.name, "name"), (".", "other")]
    return [(text, role) for text, role in said if text]


def in_order(order, draws):
    """The attributes, in one of the three kinds of order."""
    if order == "permuted":
        return draws.shuffled(ATTRIBUTES)
    if order == "coupled":
        return [a for k in draws.shuffled(range(3)) for a in ATTRIBUTES[2 * k : 2 * k + 2]]
    return list(ATTRIBUTES)


def subject(who, wording, place, name_at, fullname, joined):
    """The subject of a sentence, with what makes it a possessive."""
    owns = wording.startswith("{subject}'s")
    owner = [("'s", "other")] if owns else []
    if fullname or place == name_at:
        return [(" " + who.name, "name"), *owner]
    if place == 0:
        return [(" The person", "other"), *owner]
    found = {"He": "His", "She": "Her"}[who.pronoun] if owns else who.pronoun
    return [(" " + (found.lower() if joined else found), "pronoun")]


def otherwise(who, attribute):
    """A value in the other way of rewritten biographies."""
    if attribute == "birth date":
        return f"{who.day} {who.month} {who.year}"
    value = who.values[attribute]
    return in_full(value) if "city" in attribute else value


def text(said):
    """The whole text."""
    return "".join(part for part, _ in said)


def spans(said):
    """(role, start, end) of what is not other, without the space before it."""
    found, place = [], 0
    for part, role in said:
        if role != "other":
            found.append((role, place + 1, place + len(part)))
        place += len(part)
    return found


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def month(who):
    return MONTHS.index(who.month) + 1


def yes(fact):
    return "Yes" if fact else "No"


ANSWERS = {
    "month %2": lambda a, b: yes(month(a) in (2, 4, 6, 8, 10, 12)),
    "month %6": lambda a, b: (1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0)[month(a) - 1],
    "month %12": lambda a, b: month(a),
    "major %5": lambda a, b: int(str(a.major)[-1]) % 5,
    "major %20": lambda a, b: a.major - 20 * (a.major // 20),
    "major %100": lambda a, b: int(str(a.major)[-2:]),
    "month rank": lambda a, b: yes(month(a) > month(b)),
    "month subtract": lambda a, b: month(a) - month(b),
    "major rank": lambda a, b: yes(a.major > b.major),
    "major subtract": lambda a, b: a.major - b.major,
    "day rank": lambda a, b: yes(int(a.day) > int(b.day)),
    "day subtract": lambda a, b: int(a.day) - int(b.day),
}


def fill(wording, one, other, answer=""):
    """A wording of a question with its slots filled."""

    def slot(match):
        whose, _, what = match[1].rpartition(".")
        who = other if whose == "B" or match[1] == "B" else one
        if match[1] in ("n", "A", "B"):
            return who.name
        if what == "result":
            return str(answer)
        if what == "first":
            return who.name.split(" ")[0]
        parts = {"birth_month": who.month, "birth_day": who.day, "birth_year": who.year}
        return parts.get(what) or who.values[what.replace("_", " ")]

    return re.sub(r"\{([^}]*)\}", slot, wording)


def question(task, one, other, control=""):
    """The prompt, the control token with it, and the answer with its hint, as texts."""
    asked = QUESTIONS[task]
    result = ANSWERS[task](one, other) if task in ANSWERS else ""
    answer = " " + fill(asked.answer, one, other, result)
    if control == "<hint>":
        answer = " " + fill(asked.hint, one, other) + answer
    return " " + fill(asked.prompt, one, other) + control, answer
