"""The inference runbook's shared code. An import only ever points down: see README.md, Architecture."""

import sys

# jsonschema, which Jupyter and Chroma bring, asks for this package, and it builds grammars as it is imported: two
# seconds of each process that opens a notebook or the memory. It would check IRIs; no schema here has any.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None forbids the import
