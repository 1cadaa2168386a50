"""The models that ship, and the list of them."""

from pathlib import Path

ROOT = Path(__file__).parent
