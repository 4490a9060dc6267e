"""The first start, on both kinds of database."""

from __future__ import annotations

from softprompt.data import sample
from softprompt.storage.people import User
from softprompt.storage.tables import Dataset, Project
from softprompt.studio import people
from softprompt.studio.access import Office
from softprompt.supervisor import first_start


def test_every_start_gives_a_link_to_the_one_admin_and_the_one_sandbox(office: Office) -> None:
    links = [first_start.prepare(office).secret for _ in range(2)]
    with office.unit() as unit:
        signed = [people.follow_link(unit, secret).user.name for secret in links]
        assert signed == ["admin", "admin"]
        assert unit.rows.count(User) == unit.rows.count(Project, sandbox=True) == 1


def test_samples_come_once_even_after_they_were_deleted(office: Office) -> None:
    first_start.prepare(office)
    folder = sample.folder()
    assert folder is not None
    assert first_start.add_samples(office, folder) == [
        "Complaints test (240 rows)", "Complaints v2 (200 rows)", "Complaints v1 (200 rows)"
    ]  # fmt: skip
    with office.unit() as unit:
        for dataset in unit.rows.all(Dataset):
            unit.delete(dataset)
    assert first_start.add_samples(office, folder) == []
    assert first_start.sample_or_reason(office) == "The sample data is in the sandbox already."
