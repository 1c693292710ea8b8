"""Definitions for a customer's lifecycle: from the first visit to being won back."""
