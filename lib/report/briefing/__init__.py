"""The document in the briefing's order: its 13 sections and its final checklist, answered from this run's evidence."""
