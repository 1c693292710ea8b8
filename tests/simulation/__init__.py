"""Whole runs drawn from one seed, on production code, and an auditor that judges them."""
