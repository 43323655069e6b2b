"""Behind the proxies that stand in front of a cluster, set as the chart sets them: `make test-proxies`."""
