"""Templates as they are sent, stored, answered and taken along; `starter/` holds those that come with the project."""
