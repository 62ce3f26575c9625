"""Two runs side by side: what changed in facts, checks, decisions and measurements."""
