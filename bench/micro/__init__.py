"""CPU time of single stations, without any network."""
