"""Two variants of one model held against each other by what they say: distributions, tasks, intervals."""
