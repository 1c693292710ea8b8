"""A starter set for a shop that sends Segment's e-commerce events."""
