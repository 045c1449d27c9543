"""What the service costs, beside its upstream reached directly, nginx and a bare relay. Linux; see docs/performance.md."""
