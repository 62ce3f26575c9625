"""The one OpenAI-compatible address: roles, keys, queue, swap, failover, memory and metrics before the engines."""
