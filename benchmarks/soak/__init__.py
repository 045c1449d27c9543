"""A soak: hours in minutes, by clients and upstreams that do what they should not, and by counting what is left."""
