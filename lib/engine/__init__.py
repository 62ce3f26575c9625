"""The engine: which models, how they are fetched, started, watched and measured."""
