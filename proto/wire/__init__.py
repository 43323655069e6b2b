"""What gateway and workers agree on: the messages, and the vocabulary that gives token ids a meaning."""
