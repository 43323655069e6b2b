"""What the admin API reads: unknown fields are refused, for a mistyped limit must not be lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.iam.permissions import Permission
from gateway.quota.limits import MAX_LIMIT, MODES, QUOTAS, BudgetMode, RateMode
from gateway.store.key_administration import MAX_OVERLAP_S

Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=100)]
Moment = Annotated[int, Field(ge=0, le=10**11)]  # Unix time, s
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None  # None: no limit
DAY_S = 86_400


class AdminModel(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class LimitsBody(AdminModel):
    """Limits to change; what is not named stays, null is no limit."""

    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    input_tokens_per_minute: Limit = None
    output_tokens_per_minute: Limit = None
    concurrent_requests: Limit = None
    daily_tokens: Limit = None
    monthly_tokens: Limit = None
    rate_mode: RateMode = "hard"
    daily_mode: BudgetMode = "hard"
    monthly_mode: BudgetMode = "hard"

    @property
    def changes(self) -> dict[str, int | str | None]:
        return {
            name: getattr(self, name) for name in (*QUOTAS, *MODES) if name in self.model_fields_set
        }


class RateLimitBody(AdminModel):
    """OpenAI's words for two of the limits."""

    max_requests_per_1_minute: Limit = None
    max_tokens_per_1_minute: Limit = None


class CreateOrganisation(AdminModel):
    name: Name
    id: Id | None = None


class CreateProject(AdminModel):
    name: Name
    id: Id | None = None
    limits: LimitsBody = LimitsBody()


class ChangeProject(AdminModel):
    name: Name


class CreateKey(AdminModel):
    name: Annotated[str, Field(max_length=200)] = ""
    principal_id: Id | None = None
    expires_at: Moment | None = None
    source_cidrs: list[str] | None = None
    limits: LimitsBody = LimitsBody()


class CreateAdminKey(AdminModel):
    name: Annotated[str, Field(max_length=200)] = ""
    principal_id: Id
    expires_at: Moment | None = None
    source_cidrs: list[str] | None = None


class RotateKey(AdminModel):
    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_S)] = DAY_S


class CreateServiceAccount(AdminModel):
    name: Name


class CreatePrincipal(AdminModel):
    name: Name
    id: Id | None = None
    default_project_id: Id | None = None
    # Of users: what an identity provider calls them.
    issuer: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    subject: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class ChangePrincipal(AdminModel):
    name: Name | None = None
    default_project_id: Id | None = None


class PolicyBody(AdminModel):
    name: Name
    principal_ids: list[Id]
    # Read by iam/policy.py, which names what is wrong in them.
    rules: list[dict[str, object]]


class Explain(AdminModel):
    permission: Permission
    principal_id: Id | None = None
    api_key_id: Id | None = None
    project_id: Id | None = None
    address: Annotated[str, Field(max_length=64)] | None = None
    user_agent: Annotated[str, Field(max_length=1000)] = ""
    model: Annotated[str, Field(max_length=256)] | None = None
    tier: Literal["priority", "default", "flex"] | None = None
    at: Moment | None = None  # now


class DeclaredProjectBody(AdminModel):
    id: Id
    name: Name
    limits: LimitsBody = LimitsBody()


class DeclaredPrincipalBody(CreatePrincipal):
    id: Id


class DeclaredPolicyBody(PolicyBody):
    id: Id


class DeclaredKeyBody(AdminModel):
    """The token itself: who sends it has read it from a secret."""

    token: Annotated[str, Field(max_length=200, repr=False)]
    name: Annotated[str, Field(max_length=200)] = ""
    project_id: Id
    principal_id: Id | None = None
    expires_at: Moment | None = None
    limits: LimitsBody = LimitsBody()


class DeclarationBody(AdminModel):
    """A file of `gwctl apply`, its tokens read."""

    projects: Annotated[list[DeclaredProjectBody], Field(max_length=10_000)] = []
    applications: Annotated[list[DeclaredPrincipalBody], Field(max_length=10_000)] = []
    users: Annotated[list[DeclaredPrincipalBody], Field(max_length=10_000)] = []
    policies: Annotated[list[DeclaredPolicyBody], Field(max_length=10_000)] = []
    keys: Annotated[list[DeclaredKeyBody], Field(max_length=10_000)] = []


class Apply(AdminModel):
    document: DeclarationBody
    dry_run: bool = False
    prune: bool = False
