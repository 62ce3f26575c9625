"""Monitoring, power, backup, and a drill for every fault."""
