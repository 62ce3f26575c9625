"""From a file to its text, its structure and its places; what is unsafe is refused with a reason."""
