"""Load with vLLM's own benchmark client, and intervals for what it measured."""
