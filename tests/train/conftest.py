"""The tiny weights of the big engines lie with their tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "swap"))
