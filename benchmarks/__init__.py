"""Measurements of the runbook itself; not tests, and not run by them."""
