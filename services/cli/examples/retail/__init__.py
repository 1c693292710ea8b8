"""Definitions of the demo: a gift wholesaler's orders and returns."""
