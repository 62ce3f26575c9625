"""What the machine is: read from its tools and files, or replayed from a recorded host."""
