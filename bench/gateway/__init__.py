"""What the gateway costs, beside the targets: `make bench`."""
