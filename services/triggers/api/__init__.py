"""The marketers' API: definitions over HTTP."""
