"""The worker around the engine."""
