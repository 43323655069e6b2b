"""Figures by project, for Prometheus: one process for the whole cluster, reading Redis.

Gateways have no series with a project in it: twenty of them with ten thousand projects would be
millions. Here are those of the projects that use most, and the rest together as `_other`.

settings     what it runs with
redis_poll   reads: ledgers from where the last look ended, refusals, how the quotas stand
tally        adds up, and chooses whose series there are; pure
exposition   what /metrics tells

Run it with `python -m gateway.usage_exporter`. To be watched, not to be billed by: the ledger
is the truth.
"""
