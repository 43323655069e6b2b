"""Whether a flood from one project slows the others: `make bench-fairness`."""
