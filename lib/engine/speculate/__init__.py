"""Speculative decoding: configurations, workloads of real text, acceptance, speed-up, and whether the text stays."""
