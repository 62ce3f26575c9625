"""Damages: each is done on purpose to a small real backup, and must be detected or survived."""
