"""Frames -> a clip that says what it is."""
