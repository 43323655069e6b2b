"""How much memory hostile requests make the gateway take."""
