"""The product, used by the clients that tenants have."""
