"""What is peculiar to the server programs; nothing below imports it."""
