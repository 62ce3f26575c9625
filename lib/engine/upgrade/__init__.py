"""The upgrade gate: the same load on two engine environments, and what follows from it."""
