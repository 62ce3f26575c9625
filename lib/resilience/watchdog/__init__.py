"""The watchdog of the engine: a table of states, a ladder for heat, and the loop that acts."""
