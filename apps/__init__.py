"""The Django apps, and what an LLM stream is."""
