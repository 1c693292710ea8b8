"""Alembic scripts of the schema `profile_store`; run by `cuestream migrate`."""
