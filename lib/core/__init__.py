"""Profile, evidence, chapters and runs: what every other room stands on."""
