"""What the service costs, beside its upstream reached directly, nginx and a bare relay; see docs/performance.md."""
