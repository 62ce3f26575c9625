"""A planner and its executors, each with a model of its own, over the gateway and OpenAI's client."""
