"""Hours of mixed load, and whether anything is left of it: `make soak`."""
