"""The document: one self-contained HTML file, rendered from a run's folder and nothing else."""
