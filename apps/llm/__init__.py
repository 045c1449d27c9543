"""What an LLM stream is: wire formats, providers, the chain, prices. No Django in here."""
