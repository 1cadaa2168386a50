"""Footage -> facts."""
