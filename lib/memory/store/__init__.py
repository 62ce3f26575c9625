"""What is kept: the manifest is the truth, Chroma and the lexical index are made from it."""
