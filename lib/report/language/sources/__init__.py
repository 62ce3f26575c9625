"""Where the document's English comes from: notebooks, templates, scripts, Python code, data files."""
