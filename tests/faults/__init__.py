"""Every fault of an upstream, injected through a real socket into a real server process."""
