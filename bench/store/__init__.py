"""What a request costs Redis, and us."""
