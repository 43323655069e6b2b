"""Who may do what: API keys and decisions. Pure: randomness and time are arguments."""
