"""What one user's worst does to another: every door against log-in, search and the first event of a stream."""
