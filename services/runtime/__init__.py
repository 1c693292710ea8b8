"""Plumbing without a business word: Kafka, the batch path, database, settings, metrics."""
