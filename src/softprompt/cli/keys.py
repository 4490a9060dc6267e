"""`softprompt keys`: API keys and sign-in links, made on the studio's own data; it may be running meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli import new_app
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DatabaseUrl, DataDir, settings
from softprompt.errors import NotFound, ParameterInvalid, UsageError

if TYPE_CHECKING:
    from softprompt.storage.people import ApiKey, User
    from softprompt.studio.access import Unit

app = new_app(no_args_is_help=True, help="API keys and sign-in links of a studio.")

UserName = Annotated[str | None, typer.Option("--user", metavar="U", help="Whose [default: the admin's].")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    role: Annotated[str, typer.Option(help="Nothing above it: viewer, editor or admin.")] = "editor",
    user: UserName = None,
    project: Annotated[str | None, typer.Option(metavar="P", help="Only in this project, by name or id.")] = None,
    space: Annotated[str | None, typer.Option(metavar="S", help="Only in this space, by name or id.")] = None,
    days: Annotated[int | None, typer.Option(metavar="N", help="Days until it expires [default: never].")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown now and never again."""
    from softprompt.studio import people
    from softprompt.studio.access import RANKS

    problems = []
    if role not in RANKS:
        problems.append(f"--role: {role!r} is not one of {', '.join(RANKS)}")
    if days is not None and not 1 <= days <= 36500:
        problems.append(f"--days: {days} is not between 1 and 36500")
    if project and space:
        problems.append("--project and --space: a key is for one of them; name one")
    if problems:
        raise ParameterInvalid("; ".join(problems) + ".")
    with _unit(data_dir, database_url) as unit:
        key, secret = people.create_key(
            unit,
            name,
            role=role,  # type: ignore[arg-type]
            user=_user(unit, user),
            container_id=_container(unit, project, space),
            days=days,
        )
        made = _shown(key, _names(unit))
    if as_json:
        print_json({**made, "key": secret})
    else:
        typer.echo(secret)
        typer.echo(f"Key {made['name']!r} ({made['role']}), id {made['id']}; keep it, it is not shown again.", err=True)


@app.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """All keys, the newest first; the secret itself is nowhere."""
    from softprompt.storage.people import ApiKey

    with _unit(data_dir, database_url) as unit:
        names = _names(unit)
        found = [_shown(key, names) for key in unit.rows.all(ApiKey, sort="-created_at")]
    if as_json:
        print_json({"keys": found})
        return
    if not found:
        typer.echo("No keys yet: softprompt keys create NAME")
        return
    columns = ("id", "name", "begins", "role", "user", "where", "state", "last_used")
    rows = [columns, *(tuple(str(key[column] or "–") for column in columns) for key in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for number, row in enumerate(rows):
        words = [word.replace("_", " ").upper() if number == 0 else word for word in row]
        typer.echo("  ".join(f"{word:{width}}" for word, width in zip(words, widths, strict=True)).rstrip())


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="Which one.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a key: it opens nothing any more, from the next request on."""
    from softprompt.storage.people import ApiKey
    from softprompt.studio import people

    with _unit(data_dir, database_url) as unit:
        same = unit.rows.all(ApiKey, name=key, revoked_at=None)
        if len(same) > 1:
            ids = ", ".join(each.id for each in same)
            raise UsageError(f"{len(same)} keys are called {key!r}: {ids}. Name one by its id.")
        made = _shown(people.revoke_key(unit, key), _names(unit))
    if as_json:
        print_json(made)
    else:
        typer.echo(f"Key {made['name']!r} is revoked.")


@app.command()
def link(
    user: UserName = None, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Make a link that signs somebody in, once."""
    from softprompt.studio import people
    from softprompt.supervisor.home import is_running, read_state

    studio = settings(data_dir, database_url)
    with _unit(data_dir, database_url) as unit:
        whose = _user(unit, user)
        secret = people.sign_in_link(unit, whose)
        name = whose.name
    state = read_state(studio.data_dir) if is_running(studio.data_dir) else {}
    address = f"{state.get('web', 'http://127.0.0.1:8440')}/sign-in?link={secret}"
    hours = int(people.LINK_LIFE.total_seconds() // 3600)
    if as_json:
        print_json({"link": address, "user": name, "hours": hours})
    else:
        typer.echo(address)
        typer.echo(f"It signs {name} in, once, within {hours} hours.", err=True)


@contextmanager
def _unit(data_dir: Path | None, database_url: str | None) -> Iterator[Unit]:
    from softprompt.supervisor.home import need_tables, office_of

    studio = settings(data_dir, database_url)
    office = office_of(studio, existing=True)
    try:
        need_tables(office, studio.data_dir)
        with office.unit() as unit:
            yield unit
    finally:
        office.database.close()


def _user(unit: Unit, name: str | None) -> User:
    from softprompt.storage.people import User

    found = unit.rows.first(User, name=name) if name else unit.rows.first(User, admin=True, disabled_at=None)
    if found is None or found.disabled_at is not None:
        known = ", ".join(user.name for user in unit.rows.all(User, disabled_at=None)) or "nobody"
        raise NotFound(f"--user: there is no user {name!r}. There are: {known}.")
    return found


def _container(unit: Unit, project: str | None, space: str | None) -> str | None:
    from softprompt.storage.tables import Project, Space

    if not project and not space:
        return None
    found: Project | Space | None
    if space:
        found = unit.rows.first(Space, name=space) or unit.rows.get(Space, space)
        there = [each.name for each in unit.rows.all(Space, sort="name", limit=20)]
    else:
        found = unit.rows.first(Project, name=project) or unit.rows.get(Project, project)
        there = [each.name for each in unit.rows.all(Project, sort="name", limit=20)]
    if found is None:
        noun, known = "space" if space else "project", ", ".join(map(repr, there)) or "none"
        raise NotFound(f"--{noun}: there is no {noun} {(space or project)!r}. There are: {known}.")
    return found.id


def _names(unit: Unit) -> dict[str, str]:
    """Of users, projects and spaces by id, deleted ones too."""
    from softprompt.storage.people import User
    from softprompt.storage.tables import Project, Space

    rows: list[User | Project | Space] = [
        *unit.rows.all(User), *unit.rows.all(Project, deleted=True), *unit.rows.all(Space, deleted=True)
    ]  # fmt: skip
    return {row.id: row.name for row in rows}


def _shown(key: ApiKey, names: dict[str, str]) -> dict[str, Any]:
    from softprompt.storage.types import now
    from softprompt.studio.access import iso

    expired = key.expires_at is not None and key.expires_at <= now()
    where = key.project_id or key.space_id
    return {
        "id": key.id,
        "name": key.name,
        "begins": key.prefix,
        "role": key.role,
        "user": names.get(key.user_id, key.user_id),
        "where": names.get(where, where) if where else None,
        "state": "revoked" if key.revoked_at else "expired" if expired else "active",
        "created": iso(key.created_at),
        "expires": iso(key.expires_at),
        "last_used": iso(key.last_used_at),
    }
