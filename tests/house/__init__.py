"""The house style, as far as a test can see it."""
