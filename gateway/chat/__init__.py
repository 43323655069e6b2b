"""Chat completions: the same pipeline as responses, in the words of an older API."""
