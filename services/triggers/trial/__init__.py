"""Looking at what drafts and decisions do to people, before publishing and after."""
