"""The decision engine: what it decides, and why."""
