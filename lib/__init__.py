"""The inference runbook's shared code. An import only ever points down: see README.md, Architecture."""
