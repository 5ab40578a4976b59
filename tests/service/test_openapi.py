"""The OpenAPI document: it says what the handlers read and answer."""

import re

import pytest


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


def test_options_are_the_same_in_the_query_the_form_and_json(document):
    call = document["paths"]["/morph"]["post"]
    query = {parameter["name"] for parameter in call["parameters"]}
    form = set(call["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
    json = set(document["components"]["schemas"]["MorphBody"]["properties"])
    assert query == form - {"image", "code", "latent_id"} == json - {"sources"}
    assert {"lam", "steps", "return", "format", "align", "face"} <= query


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
        "embed",
        "generate",
        "get_job_result",
        "get_job_status",
        "get_metrics",
        "get_version",
        "list_directions",
        "list_jobs",
        "merge",
        "morph",
        "refine",
        "render_job_preview",
        "stream_job_events",
    ]
    assert all(call["summary"] for call in operations)
