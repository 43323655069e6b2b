"""A LiteLLM custom_auth hook: one tenant's key, with limits that nobody reaches."""

from __future__ import annotations

import hashlib

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {"sk-tenant-a": ("team-a", "project-a")}


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    known = KEYS.get(api_key)
    if known is None:
        raise HTTPException(status_code=401, detail="unknown key")
    team, user = known
    return UserAPIKeyAuth(
        api_key=hashlib.sha256(api_key.encode()).hexdigest(),
        team_id=team,
        user_id=user,
        rpm_limit=100_000_000,
        tpm_limit=2_000_000_000,
        max_parallel_requests=100_000,
    )
