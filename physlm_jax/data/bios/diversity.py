"""bioD: people who know strings by number, for capacities of any shape.

Each of N people has K attributes, ID 1 to ID K; the value of each is C chunks, and a chunk is one
of the D strings of its attribute's diversity set: L symbols each, over an alphabet of T. A
paragraph states all of them in an order drawn anew each time:

    EOS Mara Quill Tennant's ID 7 is x4 x0, x9 x9. Their ID 2 is .. EOS

A diversity set is drawn without replacement: string j is place j of a keyed permutation of all
T**L strings. Where T**L is 2**62 or more it is one of the first symbols alone, as many as stay
below, and the symbols after them are hashed: so strings differ by construction. That leaves out
sets in which two strings begin with these symbols alike, one in 10 million at most (D = 10,000 has
5e7 pairs, T <= 40,000 at least 8e14 beginnings).

Source: arXiv 2404.05405, section 2 (bioD(N, K, C, D, L, T), which writes "her" for "their").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.people import FIELDS, FIRST, LAST, MIDDLE, Population, Sizes, draw_person
from physlm_jax.data.bios.pools import PARTS, pools
from physlm_jax.data.compiled import compiled, draw_below, mix_word, shuffle
from physlm_jax.data.hashing import example_numbers, stream_key
from physlm_jax.data.passes import shown_at
from physlm_jax.data.permutation import permuted_one
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.spelling import Speller
from physlm_jax.errors import InputError

# roles of tokens; a value is its first chunk and all after it, commas between them included
OTHER, NAME, VALUE, FIRST_CHUNK = range(4)
ROLES = ("other", "name", "value", "first chunk")
_FIXED = ("<pad>", "<eos>", ".", ",", "'s", " Their", " ID", " is")
_PAD, _EOS, _STOP, _COMMA, _OWN, _THEIR, _ID, _IS = range(len(_FIXED))
_FRAME = 4  # tokens of a sentence besides subject and value: ID, number, is, full stop
_PERMUTED = 2**62  # `permuted_one` takes fewer


@dataclass(frozen=True)
class Words(Speller):
    """A vocabulary of words and marks."""

    def _match(self, text: str, place: int) -> tuple[list[int], int] | None:
        match = _WORD.match(text, place)
        return ([self._ids[match[0]]], match.end()) if match and match[0] in self._ids else None


_WORD = re.compile(r" [^\s.,'<]+|'s|[.,]|<[a-z]+>")


class Shape(NamedTuple):
    """Numbers for compiled code.

    Attributes:
        attributes, chunks, diversity, length, alphabet: K, C, D, L, T.
        head: symbols that tell the strings of a set apart.  heads: how many there are, T**head.
        symbol: the first symbol's id.
    """

    attributes: int
    chunks: int
    diversity: int
    length: int
    alphabet: int
    head: int
    heads: int
    symbol: int


@dataclass(frozen=True)
class Diversity:
    """The stream of bioD(N, K, C, D, L, T): everybody once a pass, each pass in another order.

    Attributes:
        people: N of them; their names alone are used, and their seed draws sets and values too.
        attributes, chunks, diversity, length, alphabet: K, C, D, L, T.

    Raises:
        InputError: a number out of range, or D greater than T**L.
    """

    people: Population
    attributes: int = 1
    chunks: int = 1
    diversity: int = 10
    length: int = 1
    alphabet: int = 20

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value < 2**31:
                raise InputError(f"bioD: {name} must be a whole number >= {least}, got {value}")
        if self.diversity > self.alphabet**self.length:
            raise InputError(
                f"bioD: there are no {self.diversity} different strings of {self.length} of "
                f"{self.alphabet} symbols, only {self.alphabet**self.length}"
            )

    @property
    def vocabulary(self) -> Words:
        """EOS, the words of names, numbers and symbols, one id each."""
        return _vocabulary(self.people.pools, self.attributes, self.alphabet)

    @property
    def mean_length(self) -> float:
        """Tokens of an example: all have as many."""
        value = self.chunks * (self.length + 1) - 1  # with commas
        return float(2 + len(PARTS) + self.attributes * (1 + _FRAME + value))

    @cached_property
    def _shape(self) -> Shape:
        head = 1
        while head < self.length and self.alphabet ** (head + 1) < _PERMUTED:
            head += 1
        return Shape(
            *(self.attributes, self.chunks, self.diversity, self.length, self.alphabet),
            head,
            self.alphabet**head,
            len(_FIXED) + self.attributes,
        )

    @cached_property
    def _name_ids(self) -> tuple[np.ndarray, ...]:
        """The ids of first, middle and last names."""
        lists, encode = self.people.lists, self.vocabulary.encode
        return tuple(
            np.concatenate([encode(" " + word) for word in lists.values_of(part)]) for part in PARTS
        )

    def _key(self, purpose: str) -> np.uint64:
        return np.uint64(stream_key(self.people.seed, purpose))

    def values(self, index: np.ndarray) -> np.ndarray:
        """int64[len(index), K, C]: which string of its attribute's set each chunk is.

        Args:
            index: of people, 0 <= index < N.
        """
        numbers = self.people.start + np.asarray(index, np.int64)
        return _values(self.people.sizes, self._shape, numbers, self._key("chunks"))

    def strings(self, attribute: int) -> np.ndarray:
        """int64[D, L]: the diversity set of an attribute 0..K-1, symbols 0..T-1."""
        return _strings(self._shape, attribute, self._key("diversity"))

    def presented(self, seed: int, start: int, count: int) -> np.ndarray:
        """int64[count, 2]: the person and the pass of each example of a stream."""
        index = example_numbers(start, count)
        return _presented(index, np.uint64(self.people.n), np.uint64(stream_key(seed, "passes")))

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns EOS, paragraph, EOS; see `World`. Label: role, uint8, of `ROLES`."""
        return self.paragraphs(self.presented(seed, start, count), seed)

    def paragraphs(self, shown: np.ndarray, seed: int = 0) -> Ragged:
        """Returns the examples of rows (person, pass), int64[n, 2]; see `examples`."""
        length = int(self.mean_length)
        first, middle, last = self._name_ids
        tokens, roles = _write(
            self._shape,
            self.people.sizes,
            np.array([self.people.start, length]),
            first,
            middle,
            last,
            np.ascontiguousarray(shown, np.int64),
            np.array([*map(self._key, ("chunks", "diversity")), stream_key(seed, "wording")], "u8"),
        )
        offsets = length * np.arange(len(shown) + 1, dtype=np.int64)
        return Ragged(tokens.reshape(-1), offsets, {"role": roles.reshape(-1)})


_LEAST = {"attributes": 1, "chunks": 1, "diversity": 1, "length": 1, "alphabet": 2}


@lru_cache(maxsize=16)
def _vocabulary(names: str, numbers: int, alphabet: int) -> Words:
    parts = [word for part in PARTS for word in pools(names).values_of(part)]
    texts = (
        *_FIXED,
        *(f" {n}" for n in range(1, numbers + 1)),
        *(f" x{n}" for n in range(alphabet)),
        *dict.fromkeys(f" {word}" for word in parts),
    )
    return Words(texts, bos=_EOS, eos=_EOS, pad=_PAD, separator="")


@compiled
def _presented(index: np.ndarray, people: np.uint64, key: np.uint64) -> np.ndarray:
    shown = np.empty((len(index), 2), np.int64)
    for i in range(len(index)):
        turn, shown[i, 0] = shown_at(index[i], people, key)
        shown[i, 1] = np.int64(turn)
    return shown


@compiled
def _string(
    shape: Shape, number: int, key: np.uint64, state: np.ndarray, string: np.ndarray
) -> None:
    """Writes string `number` of the set of a key, int[L], symbols from 0."""
    place = permuted_one(number, shape.heads, key)
    state[0] = mix_word(key + mix_word(np.uint64(number)))
    for i in range(shape.head - 1, -1, -1):
        string[i] = place % shape.alphabet
        place //= shape.alphabet
    for i in range(shape.head, shape.length):
        string[i] = draw_below(state, shape.alphabet)


@compiled
def _set_key(key: np.uint64, attribute: int) -> np.uint64:
    return mix_word(key ^ mix_word(np.uint64(attribute)))


@compiled
def _strings(shape: Shape, attribute: int, key: np.uint64) -> np.ndarray:
    found = np.empty((shape.diversity, shape.length), np.int64)
    state = np.empty(1, np.uint64)
    for number in range(shape.diversity):
        _string(shape, number, _set_key(key, attribute), state, found[number])
    return found


@compiled
def _start_value(state: np.ndarray, person: np.uint64, attribute: int, key: np.uint64) -> None:
    """Makes the next draws below D the chunks of a value."""
    state[0] = mix_word(mix_word(person ^ key) + np.uint64(attribute))


@compiled
def _values(sizes: Sizes, shape: Shape, numbers: np.ndarray, key: np.uint64) -> np.ndarray:
    found = np.empty((len(numbers), shape.attributes, shape.chunks), np.int64)
    places, state = np.empty(FIELDS, np.int32), np.empty(1, np.uint64)
    for i in range(len(numbers)):
        person = draw_person(sizes, numbers[i], places)
        for attribute in range(shape.attributes):
            _start_value(state, person, attribute, key)
            for chunk in range(shape.chunks):
                found[i, attribute, chunk] = draw_below(state, shape.diversity)
    return found


@compiled
def _write(
    shape: Shape,
    sizes: Sizes,
    start_and_length: np.ndarray,
    first: np.ndarray,
    middle: np.ndarray,
    last: np.ndarray,
    shown: np.ndarray,
    keys: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Examples and their roles, [n, tokens]."""
    size = (len(shown), start_and_length[1])
    tokens, roles = np.empty(size, np.int32), np.zeros(size, np.uint8)
    places, order = np.empty(FIELDS, np.int32), np.empty(shape.attributes, np.int64)
    state = np.empty(1, np.uint64)
    for i in range(len(shown)):
        person = draw_person(sizes, start_and_length[0] + shown[i, 0], places)
        state[0] = mix_word(mix_word(person ^ keys[2]) + np.uint64(shown[i, 1]))
        for attribute in range(shape.attributes):
            order[attribute] = attribute
        shuffle(state, order, shape.attributes)
        row, role = tokens[i], roles[i]
        row[0], row[-1] = _EOS, _EOS
        row[1], row[2] = first[places[FIRST]], middle[places[MIDDLE]]
        row[3], row[4] = last[places[LAST]], _OWN
        role[1:4] = NAME
        n = 5
        for k in range(shape.attributes):
            n = _write_sentence(shape, row, role, n, order[k], k, person, keys, state)
    return tokens, roles


@compiled
def _write_sentence(
    shape: Shape,
    row: np.ndarray,
    role: np.ndarray,
    n: int,
    attribute: int,
    place: int,
    person: np.uint64,
    keys: np.ndarray,
    state: np.ndarray,
) -> int:
    """Writes what follows the name, or "Their" and that; returns where it ends."""
    if place:
        row[n] = _THEIR
        n += 1
    row[n], row[n + 1], row[n + 2] = _ID, len(_FIXED) + attribute, _IS
    n += 3
    begin, chosen = n, np.empty(1, np.uint64)
    _start_value(chosen, person, attribute, keys[0])
    for chunk in range(shape.chunks):
        if chunk:
            row[n] = _COMMA
            n += 1
        string = row[n : n + shape.length]
        number = draw_below(chosen, shape.diversity)
        _string(shape, number, _set_key(keys[1], attribute), state, string)
        for i in range(shape.length):
            string[i] += shape.symbol
        n += shape.length
    role[begin:n] = VALUE
    role[begin : begin + shape.length] = FIRST_CHUNK
    row[n] = _STOP
    return n + 1
