"""The briefing's claims in the document: a table of all, and a few words in the chapter where each belongs."""
