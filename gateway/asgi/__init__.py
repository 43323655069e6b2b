"""The HTTP edge: routes, endpoints, request bodies, probes."""
