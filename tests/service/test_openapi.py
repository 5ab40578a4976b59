"""The OpenAPI document: it says what the handlers read and answer."""

import re

import pytest

from service.jobs.schemas import FilmJobAnswer
from service.openapi import MODELS
from service.wire.examples import BODIES, CODE_ANSWER, EMBED_ANSWER
from service.wire.schemas import CodeAnswer, EmbedAnswer


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def test_every_reference_leads_somewhere(document):
    for name in re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document)):
        assert name in document["components"]["schemas"]


@pytest.mark.parametrize("path", ["/embed", "/morph", "/colorize", "/merge", "/edit", "/generate"])
def test_inference_endpoints_describe_bodies_answers_and_problems(document, path):
    call = document["paths"][path]["post"]
    content = call["requestBody"]["content"]
    assert {"multipart/form-data", "application/json"} <= set(content)
    answers = call["responses"]
    assert {"application/json", "image/jpeg"} <= set(answers["200"]["content"])
    takes_codes = () if path in ("/embed", "/merge") else ("404", "409")
    for status in ("400", "406", "413", "415", "422", "429", "500", "503", "504", *takes_codes):
        assert list(answers[status]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in str(call)


def test_options_are_the_same_in_the_form_and_json_and_are_listed_once(document):
    call = document["paths"]["/morph"]["post"]
    form = set(call["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
    json = set(document["components"]["schemas"]["MorphBody"]["properties"])
    assert form - {"image", "code", "latent_id"} == json - {"sources"}
    assert {"lam", "steps", "return", "format", "align", "face"} <= form
    posts = [path["post"] for path in document["paths"].values() if "post" in path]
    assert posts
    assert not any(call.get("parameters") for call in posts)


def test_everything_is_described(document):
    silent = [
        f"{model}.{name}"
        for model, schema in document["components"]["schemas"].items()
        for name, member in schema.get("properties", {}).items()
        if not member.get("description") and "$ref" not in member
    ]
    assert not silent
    calls = [call for path in document["paths"].values() for call in path.values()]
    parameters = [each for call in calls for each in call.get("parameters", [])]
    assert [each["name"] for each in parameters if each["in"] == "query"]
    assert all(each.get("description") for each in parameters)
    assert document["info"]["description"]
    assert document["info"]["license"]["name"]
    assert document["servers"][0]["url"] == "/"


def test_a_latent_id_is_text_in_a_form_and_a_photo_is_a_file(document):
    content = document["paths"]["/edit"]["post"]["requestBody"]["content"]
    fields = content["multipart/form-data"]["schema"]["properties"]
    assert fields["latent_id"]["type"] == "string"
    assert "format" not in fields["latent_id"]
    assert fields["image"]["format"] == fields["code"]["format"] == "binary"


def test_examples_are_valid():
    for model in MODELS:
        model.model_validate(BODIES[model.__name__])
    assert CodeAnswer.model_validate(CODE_ANSWER).code
    assert EmbedAnswer.model_validate(EMBED_ANSWER).face


def test_only_errors_that_are_sent_are_listed(document):
    assert "ValidationError" not in document["components"]["schemas"]
    for path in document["paths"].values():
        for call in path.values():
            for status, answer in call["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(answer["content"]) == ["application/problem+json"]


def test_job_pictures_take_the_options_of_images(document):
    for name in ("preview", "result"):
        call = document["paths"][f"/jobs/{{job_id}}/{name}"]["get"]
        names = {parameter["name"] for parameter in call["parameters"]}
        assert {"job_id", "size", "image_quality"} <= names


def test_health_and_version_are_described(document):
    assert "503" in document["paths"]["/readyz"]["get"]["responses"]
    assert "/metrics" in document["paths"]
    assert "/" not in document["paths"]


def test_operation_ids_name_the_methods_of_generated_clients(document):
    operations = [call for path in document["paths"].values() for call in path.values()]
    assert sorted(call["operationId"] for call in operations) == [
        "cancel_job",
        "check_liveness",
        "check_readiness",
        "colorize",
        "edit",
        "edit_film",
        "embed",
        "generate",
        "get_job_result",
        "get_job_status",
        "get_metrics",
        "get_version",
        "list_directions",
        "list_jobs",
        "measure_quality",
        "merge",
        "morph",
        "refine",
        "render_job_preview",
        "stream_job_events",
    ]
    assert all(call["summary"] for call in operations)


def test_a_film_is_a_form_or_a_video_and_its_job_an_example(document):
    call = document["paths"]["/films"]["post"]
    content = call["requestBody"]["content"]
    assert {"multipart/form-data", "video/mp4"} <= set(content)
    assert {"film", "directions", "face"} <= set(
        content["multipart/form-data"]["schema"]["properties"]
    )
    answers = call["responses"]
    FilmJobAnswer.model_validate(answers["202"]["content"]["application/json"]["example"])
    assert {"400", "408", "413", "415", "422", "429", "501", "503", "507"} <= set(answers)
    assert "206" in document["paths"]["/jobs/{job_id}/result"]["get"]["responses"]
