"""Who is next when there is more to do than the workers can: pure. Decision 24 has the why."""
