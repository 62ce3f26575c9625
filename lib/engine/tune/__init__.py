"""Search over the engine's flags: the space, the search itself, and the configuration that comes out."""
