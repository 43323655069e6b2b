"""Projects, as an operator changes them; keys are in `key_administration.py`.

Nothing is ever searched for: what can be listed has an index set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.iam import project_id
from gateway.iam.ids import DEFAULT_ORGANISATION
from gateway.iam.policy import Organisation
from gateway.quota.limits import Limits, limits_text
from gateway.store import keys
from gateway.store.compilation import scopes_of_key
from gateway.store.errors import store_errors
from gateway.store.key_administration import (
    IssuedKey,
    KeyAdministration,
    RevokedKey,
    UnknownKey,
    UnknownProject,
    WrongPepper,
)
from gateway.store.principals import UnknownOrganisation, UnknownPrincipal
from gateway.store.records import (
    Hash,
    ProjectConfig,
    ProjectState,
    read_project,
    write_project,
)

__all__ = [
    "Administration",
    "IssuedKey",
    "ProjectExists",
    "RevokedKey",
    "UnknownKey",
    "UnknownOrganisation",
    "UnknownPrincipal",
    "UnknownProject",
    "WrongPepper",
]


@dataclass(frozen=True, slots=True)
class ProjectExists:
    """There is a project with this id already; it has not been changed."""

    project_id: str


class Administration(KeyAdministration):
    """Changes and lists projects and keys. Every method raises StoreUnavailable."""

    async def create_project(
        self,
        name: str,
        limits: Limits,
        *,
        with_id: str | None = None,
        organisation_id: str = DEFAULT_ORGANISATION,
        managed: bool = False,
    ) -> ProjectConfig | ProjectExists | UnknownOrganisation:
        """A new project, active at once. Raises ValueError if *with_id* is no project id."""
        if with_id is None:
            with_id = self.new_project_id()
        elif not project_id.is_project_id(with_id):
            raise ValueError(f"{with_id!r} is no project id: 8 to 64 letters, digits, _ or -")
        if await self._principals.organisation(organisation_id) is None:
            return UnknownOrganisation(organisation_id)
        project = ProjectConfig(
            project_id=with_id,
            name=name,
            version=1,
            state=ProjectState.ACTIVE,
            limits=limits,
            created_at=await self._hashes.now(),
            organisation_id=organisation_id,
            managed=managed,
        )
        with store_errors():
            # The index first: an id in it that leads nowhere is skipped, a project
            # that nobody can list would be lost.
            await self._redis.sadd(keys.PROJECTS, with_id)
        if not await self._hashes.create(keys.config(with_id), write_project(project)):
            if (existing := await self.find_project(with_id)) is not None:
                await self._index(existing)  # perhaps its creation was interrupted here
            return ProjectExists(with_id)
        await self._index(project)
        return project

    def new_project_id(self) -> str:
        """An id that nobody has."""
        return project_id.mint_project_id(self._random_bytes(project_id.ENTROPY_BYTES))

    async def _index(self, project: ProjectConfig) -> None:
        """What concerns a whole organisation concerns its new project as well."""
        organisation_id = project.organisation_id
        with store_errors():
            await self._redis.sadd(
                keys.projects_of_organisation(organisation_id), project.project_id
            )
        for kid in await self._hashes.members(keys.limited_keys_of_organisation(organisation_id)):
            record = await self.find_key(kid)
            if record is not None and Organisation(organisation_id) in scopes_of_key(record):
                await self._compilation.place_limits(record)

    async def project_ids(self, organisation_id: str | None = None) -> list[str]:
        """Of all projects, or of those of an organisation, sorted."""
        if organisation_id is None:
            return await self._hashes.members(keys.PROJECTS)
        return await self._hashes.members(keys.projects_of_organisation(organisation_id))

    async def find_projects(
        self, ids: Sequence[str], organisation_id: str | None = None
    ) -> list[ProjectConfig]:
        """Those of *ids* that there are, and are of the organisation if one is named."""
        stored = await self._hashes.read_all([keys.config(each) for each in ids])
        found = [read_project(each, fields) for each, fields in zip(ids, stored, strict=True)]
        return [
            project
            for project in found
            if project is not None and organisation_id in (None, project.organisation_id)
        ]

    async def list_projects(self, organisation_id: str | None = None) -> list[ProjectConfig]:
        """All projects, or those of an organisation, by id."""
        return await self.find_projects(await self.project_ids(organisation_id), organisation_id)

    async def set_limits(
        self, of_project_id: str, changes: Mapping[str, int | str | None]
    ) -> ProjectConfig | UnknownProject:
        """Change the limits, and their modes, that are named; from the next request on.

        Raises ValueError for a limit that would admit nothing.
        """
        project = await self.find_project(of_project_id)
        if project is None:
            return UnknownProject(of_project_id)
        limits = limits_text(project.limits.changed(changes))
        return await self._change_project(of_project_id, {"limits": limits})

    async def rename_project(self, of_project_id: str, name: str) -> ProjectConfig | UnknownProject:
        """Give a project another name."""
        return await self._change_project(of_project_id, {"name": name})

    async def set_state(
        self, of_project_id: str, state: ProjectState
    ) -> ProjectConfig | UnknownProject:
        """Disable a project from its next request on, or serve it again once caches have forgotten.

        Doing it again finishes what an interrupted change has left undone.
        """
        changed: Hash = {"state": state.value}
        if state is ProjectState.DISABLED:
            changed["disabled_at"] = str(await self._hashes.now())
        return await self._change_project(of_project_id, changed)

    async def set_managed(self, of_project_id: str, managed: bool) -> None:
        """Whether a file declares it."""
        await self._change_project(of_project_id, {"managed": "1" if managed else "0"})

    async def _change_project(
        self, of_project_id: str, changed: Hash
    ) -> ProjectConfig | UnknownProject:
        if await self.find_project(of_project_id) is None:
            return UnknownProject(of_project_id)
        config = keys.config(of_project_id)
        with store_errors():
            await self._redis.hset(config, mapping=changed)
            await self._redis.hincrby(config, "ver", 1)
        project = await self.find_project(of_project_id)
        return project or UnknownProject(of_project_id)
