"""Backups: consistent copies, encrypted and sent away with restic, read back, restored, and damaged on purpose."""
