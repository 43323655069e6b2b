"""The whole product, as processes, when things go wrong and when they go right."""
