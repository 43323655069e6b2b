"""The images that the chart runs: `make test-images`."""
