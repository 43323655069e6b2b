"""CPU of a streamed token, process by process: `make bench-streams`."""
