"""A customer's life cycle and the core segments, over the starter set of tags; see
docs/segments.md."""
