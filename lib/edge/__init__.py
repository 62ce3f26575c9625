"""The way in from outside, tried: keys, certificates, probes, what it costs, what it survives."""
