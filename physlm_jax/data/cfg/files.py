"""Grammars by name and from files: the nine published ones, and a user's own.

Own grammars come as JSON, `{"rules": ..., "sizes": [...]}` as in `published.json` (sizes and a
name optional), or as text in the notation of the paper's tables:

    # comment
    L1  r: A B | B A
    L2  A: C D | D D C ; B: C C D | D C
    L3  C: 1 2 | 1 2 1 ; D: 1 2 | 1 1 2

`Lk` names the level of the symbols on the left; the children of level k are symbols of level k+1,
those of the last level are the terminals. A level may go on over several lines. As in the
published grammars, no two rules of a level may be equal, not even of two symbols: in a file that
is taken for a slip of the pen (`Grammar.from_rules` accepts it).
"""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from importlib.resources import files
from pathlib import Path

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.errors import InputError, unknown

_LINE = re.compile(r"L(\d+)\s+(.*)")
_WORD = re.compile(r"[^\s|;:#]+")


@cache
def _published() -> dict[str, Grammar]:
    text = files("physlm_jax.data.cfg").joinpath("published.json").read_text()
    entries = json.loads(text)["grammars"]
    return {n: Grammar.from_rules(e["rules"], e["sizes"][-1], n) for n, e in entries.items()}


def names() -> list[str]:
    """Returns the names of the published grammars."""
    return list(_published())


def load(name_or_path: str | Path) -> Grammar:
    """Returns a published grammar by name, or the grammar in a file, checked.

    Warns about symbols that no derivation of a user's grammar reaches.

    Raises:
        InputError: no such grammar or file, or the file does not describe a layered grammar; the
            message names the file and the line or rule.
    """
    name = str(name_or_path)
    if name in _published():
        return _published()[name]
    path = Path(name_or_path)
    if not path.is_file():
        raise unknown("grammar", name, names(), "the published grammars and the files on disk")
    grammar = _read(path)
    if lost := grammar.unreachable():
        shown = ", ".join(grammar.symbols[k - 1][a] for k, a in map(grammar.locate, lost))
        warnings.warn(f"{path}: no derivation reaches {shown}", stacklevel=2)
    return grammar


def _read(path: Path) -> Grammar:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text: {error}") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return _from_json(path, text) if text.lstrip().startswith("{") else _from_text(path, text)


def _from_json(path: Path, text: str) -> Grammar:
    try:
        entry = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(entry, dict) or "rules" not in entry:
        raise InputError(f"{path}: expected an object with the key 'rules'")
    sizes = entry.get("sizes")
    try:
        terminals = int(sizes[-1]) if sizes else None
        grammar = Grammar.from_rules(entry["rules"], terminals, str(entry.get("name", path.stem)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, LookupError):
        raise InputError(
            f"{path}: 'rules' must nest level, symbol, right-hand side, whole number"
        ) from None
    _check_distinct(path, grammar)
    if sizes and list(grammar.sizes) != list(sizes):
        raise InputError(f"{path}: sizes {sizes}, but the rules have {list(grammar.sizes)}")
    if entry.get("L", grammar.levels) != grammar.levels:
        raise InputError(f"{path}: L is {entry['L']}, but the rules have {grammar.levels} levels")
    return grammar


def _check_distinct(path: Path, grammar: Grammar) -> None:
    for k, level in enumerate(grammar.rules):
        owner: dict[tuple[int, ...], int] = {}
        for a, symbol in enumerate(level):
            for rhs in symbol:
                if rhs in owner:
                    raise InputError(
                        f"{path}: the rule {list(rhs)} occurs twice in one level, in "
                        f"rules[{k}][{owner[rhs]}] and rules[{k}][{a}]"
                    )
                owner[rhs] = a


# A parsed text file: per level, the symbols in order of appearance with their rules, each rule
# with the line that it stands on.
_Levels = list[dict[str, list[tuple[list[str], int]]]]


def _from_text(path: Path, text: str) -> Grammar:
    levels: _Levels = []
    for number, raw in enumerate(text.splitlines(), 1):
        if line := raw.split("#", 1)[0].strip():
            _read_line(levels, line, f"{path}, line {number}", number)
    if not levels:
        raise InputError(f"{path}: the file holds no rules")
    if len(levels[0]) != 1:
        raise InputError(f"{path}: level 1 must hold one symbol, the root, not {len(levels[0])}")
    return _number(path, levels)


def _read_line(levels: _Levels, line: str, where: str, number: int) -> None:
    match = _LINE.fullmatch(line)
    if not match:
        raise InputError(f"{where}: expected 'L<level> symbol: rule | rule ; symbol: ...'")
    level = int(match[1])
    if not 1 <= level <= len(levels) + 1:
        raise InputError(f"{where}: level {level} cannot follow level {len(levels)}")
    if level > len(levels):
        levels.append({})
    for part in match[2].split(";"):
        left, colon, right = part.partition(":")
        symbol = left.strip()
        if not colon or not _WORD.fullmatch(symbol):
            raise InputError(f"{where}: bad symbol '{symbol}': expected 'symbol: rule | rule'")
        for k, other in enumerate(levels, 1):
            if k != level and symbol in other:
                raise InputError(f"{where}: '{symbol}' is already a symbol of level {k}")
        rules = levels[level - 1].setdefault(symbol, [])
        for rhs in right.split("|"):
            _add_rule(levels[level - 1], rules, symbol, rhs.split(), where, number)


def _add_rule(
    level: dict[str, list[tuple[list[str], int]]],
    rules: list[tuple[list[str], int]],
    symbol: str,
    rhs: list[str],
    where: str,
    number: int,
) -> None:
    if not 1 <= len(rhs) <= 3:
        raise InputError(f"{where}: a rule of '{symbol}' has {len(rhs)} symbols (allowed: 1 to 3)")
    for word in rhs:
        if not _WORD.fullmatch(word):
            raise InputError(f"{where}: bad symbol '{word}' in a rule of '{symbol}'")
    for other, owned in level.items():
        if any(rhs == known for known, _ in owned):
            raise InputError(
                f"{where}: the rule '{' '.join(rhs)}' of '{symbol}' occurs twice in this level "
                f"(first under '{other}')"
            )
    rules.append((rhs, number))


def _number(path: Path, levels: _Levels) -> Grammar:
    """Turns written names into numbers: symbols by appearance, numeric terminals by value."""
    home = {word: k for k, level in enumerate(levels, 1) for word in level}
    terminals = _terminals(levels, home)
    home |= dict.fromkeys(terminals, len(levels) + 1)
    below = [list(level) for level in levels[1:]] + [terminals]
    numbered = []
    for k, (level, children) in enumerate(zip(levels, below, strict=True), 1):
        for rhs, line in (rule for rules in level.values() for rule in rules):
            _check_children(f"{path}, line {line}", rhs, k, home)
        ids = {word: i for i, word in enumerate(children)}
        numbered.append([[[ids[w] for w in rhs] for rhs, _ in rs] for rs in level.values()])
    symbols = [list(levels[0]), *below]
    return Grammar.from_rules(numbered, len(terminals), path.stem, symbols)


def _check_children(where: str, rhs: list[str], level: int, home: dict[str, int]) -> None:
    for word in rhs:
        if word not in home:
            raise InputError(f"{where}: '{word}' has no rules at level {level + 1}")
        if home[word] != level + 1:
            raise InputError(
                f"{where}: '{word}' of level {home[word]} in a rule of level {level}; "
                "the children of a rule belong to the next level, none may be skipped"
            )


def _terminals(levels: _Levels, home: dict[str, int]) -> list[str]:
    """The words of the last level's rules that are no symbols with rules themselves."""
    rules = (rhs for symbol in levels[-1].values() for rhs, _ in symbol)
    words = list(dict.fromkeys(w for rhs in rules for w in rhs if w not in home))
    return sorted(words, key=int) if all(w.isdecimal() for w in words) else words
