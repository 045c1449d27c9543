"""What a user, and the process, may do at once and per minute."""
