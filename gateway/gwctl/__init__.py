"""gwctl: projects, API keys, usage and the ledger, from the command line."""
