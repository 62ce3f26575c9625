"""Helpers that one chapter needs and no other."""
