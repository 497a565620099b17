"""The list of models."""

import anthropic
import pytest
from conftest import SONNET

CONFIGURED = {SONNET, "gpt-5", "gemini-2.5-flash"}


def test_the_configured_models_are_listed(client):
    page = client.models.list()

    assert {model.id for model in page.data} == CONFIGURED, "wildcards are no models"
    assert page.has_more is False
    assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
    for model in page.data:
        assert model.type == "model" and model.display_name and model.created_at and model.lifecycle == "active"


def test_a_short_page_leads_to_the_next(client):
    whole = [model.id for model in client.models.list().data]
    first = client.models.list(limit=2)

    assert [model.id for model in first.data] == whole[:2] and first.has_more is True
    assert [model.id for model in client.models.list(limit=2, after_id=first.last_id).data] == whole[2:]
    assert [model.id for model in client.models.list(limit=2, before_id=whole[2]).data] == whole[:2]
    assert [model.id for model in client.models.list(limit=1)] == whole, "the SDK turns the pages"


def test_one_model_is_described(client):
    model = client.models.retrieve(SONNET)

    assert (model.id, model.display_name, model.created_at.year) == (SONNET, "Claude Sonnet 4.5", 2025)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.models.retrieve("no-such-model")

    assert missing.value.type == "not_found_error"
