"""The drawn person of painted.py."""

from painted import engine, form, identity, paint, window  # noqa: F401
