"""Completions while they run: supervisor, generations, logs, readers, the writer."""
