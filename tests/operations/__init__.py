"""How the service is run: behind proxies, on PostgreSQL, under attack; `docs/operations.md` put to the test."""
