"""Crops -> the same crops with another face."""
