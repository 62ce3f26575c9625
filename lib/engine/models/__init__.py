"""Models: the catalogue, sizes from the architecture, what fits, and how they come to the store."""
