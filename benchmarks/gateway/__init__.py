"""What the gateway itself costs and holds, with a stand-in for the engine."""
