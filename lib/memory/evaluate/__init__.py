"""How well the memory finds: corpora, metrics with intervals, verdicts."""
