"""Definitions to begin with; `cuestream up` and `cuestream demo` apply them."""
