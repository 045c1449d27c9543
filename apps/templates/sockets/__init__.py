"""Sessions of the legacy WebSockets, whichever library serves them."""
