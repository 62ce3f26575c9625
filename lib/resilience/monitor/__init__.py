"""The watching, tried: rules against promtool, every alert against the fault that it is there for."""
