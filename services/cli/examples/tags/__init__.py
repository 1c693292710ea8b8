"""A starter set of tags in five layers, and RFM; see docs/definitions.md."""
