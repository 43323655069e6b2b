"""How long the worst requests stop the event loop."""
