"""Users, API keys, browser sessions, sign-in links: who somebody is. What they may: `memberships`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from softprompt.errors import Conflict, Forbidden, NameTaken, NotFound, ParameterInvalid, Unauthenticated
from softprompt.storage.people import ApiKey, BrowserSession, SignInLink, User
from softprompt.storage.rows import Page, Rows
from softprompt.storage.tables import Project, Space
from softprompt.storage.types import now
from softprompt.studio.access import RANKS, Actor, Role, Unit
from softprompt.studio.names import clean_name
from softprompt.studio.secrets import KEY_PREFIX, digest, hash_password, new_secret, password_fits

LINK_LIFE = timedelta(hours=24)
SESSION_LIFE = timedelta(days=14)
SHORTEST_PASSWORD = 10
_USED_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new browser session: the cookie's secret and the token that forms carry."""

    secret: str
    csrf: str
    user: User


def first_admin(unit: Unit, name: str = "admin") -> tuple[User, str]:
    """The studio's admin, made at the first start, and a link's secret that signs in once."""
    user = unit.rows.first(User, admin=True) or unit.rows.add(User(name=name, admin=True))
    return user, sign_in_link(unit, user)


def sign_in_link(unit: Unit, user: User) -> str:
    secret = new_secret()
    unit.rows.add(SignInLink(digest=digest(secret), user_id=user.id, expires_at=now() + LINK_LIFE))
    return secret


def create_user(unit: Unit, name: str, *, password: str | None = None, admin: bool = False) -> User:
    unit.need_studio_admin()
    name = clean_name(name, "name", most=100)
    if unit.rows.first(User, name=name):
        raise NameTaken(f"There is a user {name!r} already. Choose another name.")
    user = unit.rows.add(User(name=name, admin=admin, password_hash=_hashed(password) if password else None))
    unit.log("create", user, name=name, admin=admin)
    return user


def invite(unit: Unit, name: str, *, admin: bool = False) -> tuple[User, str]:
    """A new user without a password, and the secret of the link that signs in once."""
    user = create_user(unit, name, admin=admin)
    return user, sign_in_link(unit, user)


def find_user(unit: Unit, user_id: str) -> User:
    """Anybody, for an admin of the studio."""
    unit.need_studio_admin()
    user = unit.rows.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id!r}. The list of people shows who there is.")
    return user


def rename(unit: Unit, user: User, name: str) -> None:
    """One's own name, or as an admin of the studio anybody's."""
    if user.id != unit.actor.user_id:
        unit.need_studio_admin()
    name, before = clean_name(name, "name", most=100), user.name
    taken = unit.rows.first(User, name=name)
    if taken is not None and taken.id != user.id:
        raise NameTaken(f"There is a user {name!r} already. Choose another name.")
    user.name = name
    unit.log("rename", user, name=name, before=before)


def set_password(unit: Unit, user: User, password: str, *, keep: str = "") -> None:
    """One's own, or as an admin of the studio anybody's; sessions of the user end.

    Args:
        keep: secret of the one session that goes on.
    """
    if user.id != unit.actor.user_id:
        unit.need_studio_admin()
    user.password_hash = _hashed(password)
    end_sessions(unit, user.id, keep=keep)
    unit.log("set password", user, name=user.name)


def password_mark(user: User) -> str:
    """Another text after every change of the password; empty if there is none."""
    return digest(user.password_hash) if user.password_hash else ""


def reset(unit: Unit, user_id: str) -> tuple[User, str]:
    """Take a user's password away; the secret of a link that signs in once, to set a new one."""
    user = find_user(unit, user_id)
    if user.id == unit.actor.user_id:
        raise Conflict("You are signed in; set your own password under Account.")
    if user.disabled_at is not None:
        raise Conflict(f"{user.name} was deactivated. Let them in again first.")
    user.password_hash = None
    unit.rows.remove(SignInLink, user_id=user.id)
    end_sessions(unit, user.id)
    unit.log("reset", user, name=user.name)
    return user, sign_in_link(unit, user)


def set_admin(unit: Unit, user_id: str, admin: bool) -> User:
    """Make somebody an admin of the whole studio, or no longer."""
    user = find_user(unit, user_id)
    if user.admin and not admin:
        _not_the_last_admin(unit, user)
    user.admin = admin
    unit.log("set role", user, name=user.name, role="studio admin" if admin else "member")
    return user


def disable_user(unit: Unit, user_id: str) -> User:
    """Keys, tokens, links and sessions of the user open nothing any more; what they made stays."""
    user = find_user(unit, user_id)
    _not_the_last_admin(unit, user)
    user.disabled_at = user.disabled_at or now()
    unit.rows.remove(BrowserSession, user_id=user.id)
    unit.log("disable", user, name=user.name)
    return user


def enable_user(unit: Unit, user_id: str) -> User:
    """Let somebody in again who was disabled: password, keys and roles are as they were."""
    user = find_user(unit, user_id)
    user.disabled_at = None
    unit.log("enable", user, name=user.name)
    return user


def admins(rows: Rows) -> list[str]:
    """Names of those who may everything; whom to ask."""
    return [user.name for user in rows.all(User, admin=True, disabled_at=None, limit=5)]


def _not_the_last_admin(unit: Unit, user: User) -> None:
    # Held in one order, so that two admins cannot take the role from each other at the same moment.
    held = unit.rows.all(User, admin=True, disabled_at=None, sort="id")
    for row in held:
        unit.rows.lock(row)
    if not any(row.admin and row.disabled_at is None and row.id != user.id for row in held) and user in held:
        raise Conflict(f"{user.name} is the only admin. Make another user an admin first.")


def users(unit: Unit, **paging: object) -> Page[User]:
    unit.need_studio_admin()
    return unit.rows.page(User, **paging)  # type: ignore[arg-type]


# Keys


def create_key(
    unit: Unit,
    name: str,
    *,
    role: Role = "editor",
    user: User | None = None,
    container_id: str | None = None,
    days: int | None = None,
) -> tuple[ApiKey, str]:
    """A new API key and its secret, which is not stored.

    What a key makes is no broader than itself, expires no later, ends when it is revoked, and makes no further ones.

    Args:
        role: nothing above it, whatever its user may do.
        user: whose key; the actor's own if None.
        container_id: the only project or space it works in.
        days: until it expires.
    """
    name = clean_name(name, "name", most=100)
    if role not in RANKS:
        raise ParameterInvalid(f"role: {role!r} is not one of {', '.join(RANKS)}.")
    if RANKS[role] > RANKS[unit.actor.role]:
        raise Forbidden(f"A key with the role {unit.actor.role} cannot make one with the role {role}.")
    if unit.actor.container_id and container_id != unit.actor.container_id:
        raise Forbidden("A key that is bound to a project or space can only make keys for the same one.")
    owner_id = user.id if user is not None else unit.actor.user_id
    if owner_id is None or (owner_id != unit.actor.user_id and not unit.actor.whole):
        raise Forbidden("Keys are made for oneself, or by an admin of the studio.")
    project = unit.rows.get(Project, container_id) if container_id else None
    space = unit.rows.get(Space, container_id) if container_id and project is None else None
    if container_id and project is None and space is None:
        raise NotFound(f"There is no project or space {container_id!r}.")
    maker = _maker(unit)
    secret = new_secret(KEY_PREFIX)
    key = ApiKey(
        user_id=owner_id,
        name=name,
        prefix=secret[:9],
        digest=digest(secret),
        role=role,
        project_id=project.id if project else None,
        space_id=space.id if space else None,
        expires_at=_earlier(now() + timedelta(days=days) if days else None, maker.expires_at if maker else None),
        made_by=maker.id if maker else None,
    )
    unit.rows.add(key)
    unit.log("create", key, name=name, role=role)
    return key, secret


def keys(unit: Unit, **paging: object) -> Page[ApiKey]:
    """One's own keys; an admin of the studio sees all."""
    own = {} if unit.actor.whole else {"user_id": unit.actor.user_id}
    return unit.rows.page(ApiKey, **own, **paging)  # type: ignore[arg-type]


def revoke_key(unit: Unit, key_id: str) -> ApiKey:
    """By id or by name; it and the keys that it made work no longer, from the next request on."""
    named = unit.rows.first(ApiKey, name=key_id, revoked_at=None, user_id=unit.actor.user_id)
    if named is None and unit.actor.whole:
        named = unit.rows.first(ApiKey, name=key_id, revoked_at=None)
    key = unit.rows.get(ApiKey, key_id) or named
    if key is None or (key.user_id != unit.actor.user_id and not unit.actor.whole):
        raise NotFound(f"There is no API key {key_id!r}.")
    if key.id != unit.actor.key_id and (unit.actor.role == "viewer" or unit.actor.container_id is not None):
        raise Forbidden("An API key that only reads, or is bound to one place, can revoke no key but itself.")
    ended = [key]
    for each in ended:  # grows by what each of them made
        unit.rows.lock(each)  # else it could make one at this moment
        each.revoked_at = each.revoked_at or now()
        unit.rows.flush()
        unit.log("revoke", each, name=each.name)
        ended += unit.rows.all(ApiKey, made_by=each.id, revoked_at=None)
    return key


# Who is it?


def actor_of_key(rows: Rows, secret: str) -> tuple[Actor, ApiKey]:
    """The actor behind an API key."""
    key = rows.first(ApiKey, digest=digest(secret))
    if key is None:
        raise Unauthenticated("This API key is not known. `softprompt keys create NAME` makes one.")
    return actor_of_stored_key(rows, key), key


def actor_of_stored_key(rows: Rows, key: ApiKey) -> Actor:
    """The actor that a key makes, unless it was revoked, has expired or its user was disabled."""
    if key.revoked_at is not None:
        raise Unauthenticated(f"The API key {key.name!r} was revoked. Use another one.")
    if key.expires_at is not None and key.expires_at <= now():
        raise Unauthenticated(f"The API key {key.name!r} has expired. Make a new one.")
    user = _living(rows, key.user_id)
    return Actor(
        user_id=user.id,
        name=user.name,
        role=key.role,
        container_id=key.project_id or key.space_id,
        admin=user.admin,
        key_id=key.id,
    )


def needs_note(key: ApiKey) -> bool:
    """Whether it is time to write down again that the key was used."""
    return key.last_used_at is None or key.last_used_at < now() - _USED_EVERY


def quiet_until(key: ApiKey) -> datetime:
    """When a valid key next has to be looked at, if nobody changes it: its use is to be noted, or it expires."""
    noted = (key.last_used_at or key.created_at) + _USED_EVERY
    return min(noted, key.expires_at or noted)


def note_use(rows: Rows, key_id: str) -> None:
    rows.change(ApiKey, {"last_used_at": now()}, id=key_id)


def sign_in(unit: Unit, name: str, password: str) -> SignedIn:
    user = check_password(unit.rows, name, password)
    return _session(unit, user)


def check_password(rows: Rows, name: str, password: str) -> User:
    user = rows.first(User, name=name, disabled_at=None)
    stored = user.password_hash if user else None
    # Checked against something even if there is nobody, so that the time tells nothing.
    fits = password_fits(stored or _NOBODY, password)
    if user is None or stored is None or not fits:
        raise Unauthenticated("Name and password do not fit. A one-time link of `softprompt up` signs in without one.")
    return user


def follow_link(unit: Unit, secret: str) -> SignedIn:
    """Sign in with a one-time link."""
    link = unit.rows.get(SignInLink, digest(secret))
    used = link is None or not unit.rows.change(SignInLink, {"used_at": now()}, digest=link.digest, used_at=None)
    if link is None or used or link.expires_at <= now():
        raise Unauthenticated(
            "This link was used already or is too old. `softprompt up` and `keys link` print new ones."
        )
    return _session(unit, _living(unit.rows, link.user_id))


def actor_of_session(rows: Rows, secret: str) -> tuple[Actor, BrowserSession]:
    """The actor behind a browser's cookie, and the session, with the token that its forms must carry."""
    session = rows.get(BrowserSession, digest(secret))
    if session is None or session.expires_at <= now():
        raise Unauthenticated("You are not signed in any more. Sign in again.")
    user = _living(rows, session.user_id)
    return Actor(user_id=user.id, name=user.name, admin=user.admin), session


def sign_out(unit: Unit, secret: str) -> None:
    unit.rows.remove(BrowserSession, digest=digest(secret))


def sessions(unit: Unit) -> list[BrowserSession]:
    """One's own browsers that are signed in, the newest first."""
    found = unit.rows.all(BrowserSession, user_id=unit.actor.user_id, sort="-created_at") if unit.actor.user_id else []
    return [session for session in found if session.expires_at > now()]


def end_sessions(unit: Unit, user_id: str, *, keep: str = "") -> int:
    """Sign a user out everywhere, but not in the session of secret `keep`; how many ended."""
    if user_id != unit.actor.user_id:
        unit.need_studio_admin()
    kept = digest(keep) if keep else ""
    ended = [s.digest for s in unit.rows.all(BrowserSession, user_id=user_id) if s.digest != kept]
    unit.rows.remove(BrowserSession, digest=ended)
    if ended:
        unit.log("sign out", unit.rows.get(User, user_id), sessions=len(ended))
    return len(ended)


def _maker(unit: Unit) -> ApiKey | None:
    """The key that asks, held so that nobody revokes it meanwhile; None for a person."""
    maker = unit.rows.get(ApiKey, unit.actor.key_id) if unit.actor.key_id else None
    if maker is None:
        return None
    if maker.made_by is not None:  # a chain of them could grow faster than it is ended
        raise Forbidden(f"The key {maker.name!r} was made with a key and makes none. Use that one, or sign in.")
    unit.rows.lock(maker)
    actor_of_stored_key(unit.rows, maker)  # refused if it ended after it was let in
    return maker


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _session(unit: Unit, user: User) -> SignedIn:
    secret, csrf = new_secret(), new_secret()
    expires: datetime = now() + SESSION_LIFE
    unit.rows.add(BrowserSession(digest=digest(secret), user_id=user.id, csrf=csrf, expires_at=expires))
    # Whoever comes in does so themselves, although nobody is known before.
    before, unit.actor = unit.actor, Actor(user_id=user.id, name=user.name, request_id=unit.actor.request_id)
    unit.log("sign in", user, name=user.name)
    unit.actor = before
    return SignedIn(secret, csrf, user)


def _living(rows: Rows, user_id: str) -> User:
    user = rows.get(User, user_id)
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("This user was disabled. An admin of the studio can help.")
    return user


def _hashed(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise ParameterInvalid(f"password: {len(password)} characters given; at least {SHORTEST_PASSWORD} are needed.")
    return hash_password(password)


_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29mdHByb21wdHNhbHQ$V2h5IGFyZSB5b3UgcmVhZGluZyB0aGlzPyBIZWxsbyE"
