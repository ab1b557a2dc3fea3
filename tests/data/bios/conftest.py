"""Makes the slow twins importable; lists of a user's own that are hard to read."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Marks within values, owners, letters that are not English, values that begin like dates.
OWN = {
    "first": ["José", "Zoë", "Xi", "A"],
    "middle": ["Quill", "Zoë", "Mae", "B"],
    "last": ["Ash", "Łoś", "Tö", "C"],
    "birth_city": ["Duluth, MN", "St. Cloud, MN", "Reno", "Orléans, Québec"],
    "university": ["Northgate College", "St. Olan College", "1900 Hall", "Académie"],
    "major": ["Hydrology", "Art & Law", "Co-operation", "Café"],
    "employer": [
        ["Larkspur Systems", "Akron, OH"],
        ["Bell & Harrow", "Dayton, DC"],
        ["Hobb's Mill", "Akron, OH"],
        ["Tod's", "St. Paul, MN"],
        ["7 Seas", "Reno"],
    ],
}


@pytest.fixture(scope="session")
def own(tmp_path_factory) -> str:
    """The file with these lists."""
    path = tmp_path_factory.mktemp("pools") / "own.json"
    path.write_text(json.dumps(OWN))
    return str(path)


@pytest.fixture(scope="session")
def hundred(tmp_path_factory) -> str:
    """A file with 150 majors, Communications and Music at the papers' places 28 and 99."""
    majors = [f"Science {n} of Many" for n in range(150)]
    majors[28], majors[99] = "Communications", "Music"
    path = tmp_path_factory.mktemp("pools") / "majors.json"
    path.write_text(json.dumps({**OWN, "major": majors}))
    return str(path)


@pytest.fixture(scope="session", params=["word", "atomic", "word-plain", "atomic-plain", "gpt2"])
def kind(request, files) -> str:
    """Every vocabulary."""
    return files["two"] if request.param == "gpt2" else request.param


@pytest.fixture(scope="session", params=["full", "mini", "own"])
def pools(request, own) -> str:
    """Every list of values."""
    return own if request.param == "own" else request.param
