"""Lets the tests of this room share modules (mini_run, and the layouts of tests/data)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
