"""The rehearsal: the same deploy code on fresh twins, from the first change to the last one taken back."""
