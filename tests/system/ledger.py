"""What a project was charged, response by response."""

from __future__ import annotations

from typing import Any

from tests.stack.demo import Tenant
from tests.stack.product import Product
from tests.system.waiting import wait_until


def entries_of(product: Product, tenant: Tenant) -> list[dict[str, Any]]:
    """The ledger, once everything is settled, in the order of admission."""
    asked = {"project_id": tenant.project_id}
    wait_until(lambda: not product.admin("GET", "/admin/v1/leases", params=asked)["data"], "rest")
    path = f"/v1/organization/projects/{tenant.project_id}/ledger?limit=10000"
    return sorted(product.admin("GET", path)["data"], key=lambda each: each["admitted_at_ms"])
