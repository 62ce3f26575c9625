"""The seal of a run: what was in its folder when it closed, what its checks said, and who vouches for it."""
