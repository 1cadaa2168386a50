"""vidswap puts a person into a film scene."""

__version__ = "0.1.0"
