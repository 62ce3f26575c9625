"""Faults made on purpose against real processes, each with its defence and with that defence taken away."""
