"""Rollouts: pods of the rendered chart end as a kubelet ends them, and no client notices."""
