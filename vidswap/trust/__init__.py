"""Whose face it is, and what they agreed to."""
