"""The chart on a real cluster: `make test-cluster`. Its own tests play the cluster."""
