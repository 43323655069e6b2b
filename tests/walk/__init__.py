"""A random walk of a project's life, beside a model of it: `make walk`."""
