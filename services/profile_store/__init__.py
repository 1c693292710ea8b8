"""Profiles from the log into PostgreSQL, and the API that reads them."""
