"""What knows no HTTP and no provider: bounded queues, windows, clocks; usable from every app."""
