"""The completions service."""
