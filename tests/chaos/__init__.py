"""The release gate for billing: everything is killed, cut and frozen, and then the books are read."""
