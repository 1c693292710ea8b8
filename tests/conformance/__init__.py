"""What must not change underneath us."""
