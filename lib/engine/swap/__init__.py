"""Changing the model that a machine serves: where weights are read from, sleep and waking, and what each way takes."""
