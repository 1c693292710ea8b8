"""The engine over history: what drafts would have done, had they been live all along."""
