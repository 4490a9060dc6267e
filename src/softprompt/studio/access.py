"""Who asks, what they may, and the unit of work in which they do it.

One table decides what a route needs (`api.policy`); here it is compared with the person's role in the project or space
that the thing belongs to. What a person may not see does not exist for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from softprompt.config import Limits
from softprompt.errors import Forbidden, NotFound, VersionMismatch
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.people import AuditEntry, Membership
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project, Space
from softprompt.storage.types import Base, now

T = TypeVar("T", bound=Base)
Role = Literal["viewer", "editor", "admin"]
Revision = int | frozenset[int] | None
"""What somebody read before a change: one revision, or one of several; None: any will do."""
RANKS: dict[str, int] = {"viewer": 1, "editor": 2, "admin": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks.

    Attributes:
        role: nothing above it is allowed, whatever the memberships say (the role of an API key).
        container_id: the one project or space the key is for; None: all of its user's.
        admin: of the whole studio.
        tenant: whose share of the serving host the request takes.
    """

    user_id: str | None
    name: str
    role: str = "admin"
    container_id: str | None = None
    admin: bool = False
    key_id: str | None = None
    request_id: str | None = None

    @property
    def whole(self) -> bool:
        """Whether this is an admin of the whole studio, by a session or a key that may everything, everywhere."""
        return self.admin and self.role == "admin" and self.container_id is None

    @property
    def standing(self) -> str:
        """Who this is, and what keeps it from doing more, for a refusal."""
        if self.role != "admin":
            return f"the API key of {self.name} has the role {self.role}"
        if self.container_id is not None:
            return f"the API key of {self.name} is for one project or space only"
        return f"{self.name} is none"

    @property
    def tenant(self) -> str:
        return self.key_id or self.user_id or "nobody"


SYSTEM = Actor(user_id=None, name="studio", admin=True)
"""The studio itself: worker, supervisor and the command line on the same machine."""


@dataclass(slots=True)
class Unit:
    """One unit of work of one actor.

    Attributes:
        need: the role that this request needs in the container of whatever it touches.
        store: files.
        removals: keys of files to delete once the unit is committed.
    """

    rows: Rows
    actor: Actor
    need: Role
    store: ArtifactStore
    limits: Limits
    _roles: dict[str, str] | None = None
    removals: list[str] = field(default_factory=list)

    def get(self, table: type[T], key: str, *, need: Role | None = None) -> T:
        """A noun that this actor may handle; else `NotFound` or `Forbidden`."""
        row = self.seen(table, key)
        if row is None:
            raise NotFound(f"There is no {called(table)} {key!r} here. The list shows what there is.")
        self.require(row, need)
        return row

    def seen(self, table: type[T], key: str, *, deleted: bool = False) -> T | None:
        """A noun that this actor may know of, whatever may be done with it; None for strangers."""
        row = self.rows.get(table, key, deleted=deleted)
        return row if row is not None and self.role_in(row) else None

    def hold(self, row: T) -> T:
        """The row as it is now, which nobody deletes until this unit ends; `NotFound` if somebody just has."""
        found = self.rows.get(type(row), getattr(row, "id", None))
        if found is not None:
            self.rows.lock(found, shared=True)
        if found is None or getattr(found, "deleted_at", None) is not None:
            raise NotFound(f"There is no {called(type(row))} {getattr(row, 'name', '')!r} here: it was just deleted.")
        return found

    def require(self, row: Base, need: Role | None = None) -> None:
        """Refuse unless the actor's role where `row` belongs is at least the needed one."""
        wanted = need or self.need
        if self.role_in(row) < RANKS[wanted]:
            raise Forbidden(
                f"{self.actor.name} may not do this to {called(type(row))} {getattr(row, 'name', '')!r}: "
                f"it needs the role {wanted}. An admin of the {container_word(row)} can give it."
            )

    def role_in(self, row: Base) -> int:
        """Rank of the actor where this row belongs; 0: a stranger."""
        ids = [row.id] if isinstance(row, Project | Space) else container_ids(row)
        everywhere = self.actor.admin and self.actor.container_id is None
        return max((self.rank(i) for i in ids), default=RANKS[self.actor.role] if everywhere else 0)

    def rank(self, container_id: str) -> int:
        actor = self.actor
        if actor.container_id is not None and actor.container_id != container_id:
            return 0
        own = RANKS["admin"] if actor.admin else RANKS.get(self._memberships().get(container_id, ""), 0)
        return min(own, RANKS[actor.role])

    def visible(self) -> list[str] | None:
        """Ids of the projects and spaces this actor sees; None: all."""
        if self.actor.container_id is not None:
            return [self.actor.container_id] if self.rank(self.actor.container_id) else []
        return None if self.actor.admin else list(self._memberships())

    def need_studio_admin(self) -> None:
        """For what belongs to no project: users, models, other people's keys."""
        if not self.actor.whole:
            raise Forbidden(f"This needs an admin of the whole studio, and {self.actor.standing}.")

    def may_found(self, what: str) -> None:
        """Refuse making a project or space with a key that only reads, or is bound to another one."""
        if self.actor.container_id is not None or self.actor.role == "viewer":
            raise Forbidden(f"This API key is not for making a {what}: it only reads, or is bound to one place.")

    def log(self, action: str, row: Base | None, noun: str = "", **data: Any) -> None:
        """Write into the audit log."""
        inside = container_ids(row) if row is not None else []
        self.rows.add(
            AuditEntry(
                user_id=self.actor.user_id,
                key_id=self.actor.key_id,
                request_id=self.actor.request_id,
                action=action,
                noun=noun or (called(type(row)) if row is not None else ""),
                noun_id=getattr(row, "id", None),
                container_id=inside[0] if inside else None,
                data=data,
            )
        )

    def change(self, row: Any, revision: Revision, **values: Any) -> None:
        """Set fields of a noun, if nobody else did since `revision` was read (None: whatever it is)."""
        self.rows.lock(row)  # else two that read the same revision could both write
        check_revision(row, revision)
        for name, value in values.items():
            setattr(row, name, value)
        row.revision += 1
        self.rows.flush()
        self.log("update", row, fields=sorted(values))

    def delete(self, row: Any, inside: Iterable[Any] = ()) -> None:
        """Hide a noun; its row and files go after 30 days.

        Args:
            inside: what goes with it. All of it has one moment, by which it is known when the noun comes back.
        """
        moment = now()
        for each in (*inside, row):
            each.deleted_at = moment
            each.revision += 1
            self.rows.flush()
            self.log("delete", each, name=each.name)

    def _memberships(self) -> dict[str, str]:
        if self._roles is None:
            found = self.rows.all(Membership, user_id=self.actor.user_id) if self.actor.user_id else []
            self._roles = {m.container_id: m.role for m in found}
        return self._roles


@dataclass(frozen=True, slots=True)
class Office:
    """Where units of work come from."""

    database: Database
    store: ArtifactStore
    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def unit(self, actor: Actor = SYSTEM, need: Role = "editor", *, write: bool = True) -> Iterator[Unit]:
        """A unit of work, committed at the end of the block if it writes; then files that nobody needs are deleted."""
        with (self.database.write if write else self.database.read)() as session:
            unit = Unit(Rows(session), actor, need, self.store, self.limits)
            yield unit
        for key in unit.removals:
            self.store.remove(key)


def container_ids(row: Any) -> list[str]:
    """Project or space of a row."""
    if isinstance(row, Project | Space):
        return [row.id]
    return [i for i in (getattr(row, "project_id", None), getattr(row, "space_id", None)) if i]


def check_revision(row: Any, revision: Revision) -> None:
    if revision is None:
        return
    known = revision if isinstance(revision, frozenset) else {revision}
    if row.revision not in known:
        had = ", ".join(map(str, sorted(known))) or "none of its revisions"
        raise VersionMismatch(
            f"{called(type(row))} {row.name!r} was changed since you read it (it is at revision {row.revision}, "
            f"you had {had}). Read it again, then change it."
        )


_WORDS = {
    "projects": "project", "spaces": "space", "datasets": "dataset", "tuning_experiments": "tuning experiment",
    "tuning_runs": "tuning run", "tuned_prompts": "tuned prompt", "deployments": "deployment",
    "prompt_sessions": "prompt session", "evaluations": "evaluation", "users": "user", "api_keys": "API key",
    "foundation_models": "foundation model", "jobs": "job", "memberships": "membership",
}  # fmt: skip


def called(table: type[Base]) -> str:
    """What people call a row of this table."""
    return _WORDS.get(str(table.__tablename__), str(table.__tablename__))


def container_word(row: Any) -> str:
    if isinstance(row, Space) or getattr(row, "space_id", None):
        return "space"
    return "project"


def iso(moment: datetime | None) -> str | None:
    """ISO 8601, UTC, milliseconds, `Z`."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
