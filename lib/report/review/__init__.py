"""The expert's review: annotations come back as data, are anchored, applied, and shown with their state."""
