"""What the client lists is what it may ask, and nothing else."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from softprompt.studio import deployments
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, client_of


def test_deployments_stand_under_their_serving_names_and_models_under_their_ids(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"plain", "routing", MODEL} <= set(listed)
    assert listed["routing"].owned_by == "Sandbox"
    assert listed["routing"].softprompt["model_id"] == MODEL
    assert all(model.object == "model" and model.created >= 0 for model in listed.values())


def test_a_deployment_without_serving_name_stands_under_its_id(studio: LiveStudio, client: OpenAI) -> None:
    made = studio.deploy_model("Nameless", MODEL)
    assert made in [model.id for model in client.models.list()]
    assert client.completions.create(model=made, prompt="Hello").model == made


@pytest.mark.parametrize("name", ["routing", MODEL])
def test_one_model(client: OpenAI, name: str) -> None:
    assert client.models.retrieve(name).id == name


@pytest.mark.parametrize("name", ["nobody", "google/flan-t5-xxl", "a\x7fb", "../secrets"])
def test_a_model_that_is_not_here(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(name)


def test_a_model_of_the_catalogue_that_is_not_on_this_machine(client: OpenAI) -> None:
    assert "google/flan-t5-xxl" not in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError, match=r"not on this machine.*models pull google/flan-t5-xxl"):
        client.completions.create(model="google/flan-t5-xxl", prompt="Hello")


def test_a_stranger_sees_and_asks_models_but_no_deployments(studio: LiveStudio) -> None:
    with client_of(studio, studio.new_key("stranger")) as stranger:
        listed = [model.id for model in stranger.models.list()]
        assert MODEL in listed
        assert not {"plain", "routing"} & set(listed)
        with pytest.raises(openai.NotFoundError, match="There is no model 'routing' here"):
            stranger.completions.create(model="routing", prompt="Hello")
        with pytest.raises(openai.NotFoundError):
            stranger.models.retrieve("routing")
        assert stranger.completions.create(model=MODEL, prompt="Hello").choices[0].text == "Hello"


def test_a_viewer_of_the_project_may_ask(studio: LiveStudio) -> None:
    with client_of(studio, studio.new_key("viewer", "viewer", member="viewer")) as viewer:
        assert "routing" in [model.id for model in viewer.models.list()]
        assert viewer.completions.create(model="routing", prompt="hello").choices[0].text == "HELLO"


def test_what_is_offline_is_not_listed_and_says_so(studio: LiveStudio, client: OpenAI) -> None:
    made = studio.deploy_model("Resting", MODEL, "resting")
    with studio.office.unit(SYSTEM) as unit:
        deployments.update(unit, made, online=False)
    assert "resting" not in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("resting")
    with pytest.raises(openai.InternalServerError, match="'Resting' is offline"):
        client.completions.create(model="resting", prompt="Hello")


def test_lists_longer_than_a_page_are_whole(studio: LiveStudio, client: OpenAI) -> None:
    from softprompt.storage.tables import Deployment

    with studio.office.unit(SYSTEM) as unit:
        for number in range(501):
            row = Deployment(name=f"d{number}", serving_name=f"many-{number}", model_id=MODEL)
            row.project_id = studio.project.id
            unit.rows.session.add(row)
    listed = [model.id for model in client.models.list()]
    assert sum(name.startswith("many-") for name in listed) == 501
    assert len(set(listed)) == len(listed)
    with studio.office.unit(SYSTEM) as unit:
        unit.rows.remove(Deployment, model_id=MODEL, name=[f"d{number}" for number in range(501)])
