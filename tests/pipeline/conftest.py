"""Makes `toy` and `feeder`, which the tests and their subprocesses share, importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
