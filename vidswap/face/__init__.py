"""Faces as geometry, expression and light: arrays in, arrays out."""
