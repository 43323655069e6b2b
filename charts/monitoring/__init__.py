"""Dashboards and SLO rules as code; what they make is checked in, below charts/llm-gateway.

panels      how a panel, a query, a row of ours looks
<board>     fleet, workers, store, tenants, slo, rollout: one dashboard each
slo_rules   recording rules and burn-rate alerts of the objectives

`make monitoring` writes the files; a test compares.
"""
