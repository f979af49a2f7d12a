"""WireMock mappings, OpenAPI documents and HAR files, in the formats that their own documentation shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from reqscope.service.mock import StubError, StubStore
from reqscope.service.mock.examples import example_of
from reqscope.service.mock.files import load_file, parse

from .mocking import answered, asked, store_of


def answer(store: StubStore, *request: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    found = store.answer(asked(*request, **headers))
    assert found is not None, request
    status, pairs, body = found[1][:3]
    return status, {name.decode(): value.decode() for name, value in pairs}, body


class TestWireMock:
    def test_a_mapping_with_most_of_what_is_understood(self) -> None:
        store = store_of(
            json.dumps(
                {
                    "id": "76ada7b0-55ae-4229-91c4-396a36f18123",
                    "name": "pay",
                    "priority": 1,
                    "request": {
                        "method": "POST",
                        "urlPath": "/pay",
                        "queryParameters": {"page": {"equalTo": "2"}, "x": {"absent": True}},
                        "headers": {"X-Tenant": {"matches": "a.*", "caseInsensitive": True}},
                        "basicAuthCredentials": {"username": "joe", "password": "open"},
                        "bodyPatterns": [
                            {"equalToJson": '{"amount": 5}', "ignoreExtraElements": True},
                            {"matchesJsonPath": "$.items[?(@.sku == 'a')]"},
                            {"matchesJsonPath": {"expression": "$.note", "contains": "urgent"}},
                            {"contains": "amount"},
                        ],
                    },
                    "response": {
                        "status": 201,
                        "jsonBody": {"ok": True},
                        "headers": {"Location": "/pay/7", "Content-Length": "99"},
                        "fixedDelayMilliseconds": 250,
                    },
                }
            )
        )
        content = b'{"amount": 5, "items": [{"sku": "a"}], "note": "very urgent!"}'
        given = {"x_tenant": "ACME", "authorization": "Basic am9lOm9wZW4="}

        found = store.answer(asked("POST", "/pay?page=2", content, **given))

        assert found is not None
        assert (found[1].status, found[1].body, found[1].delay) == (201, b'{"ok":true}', 0.25)
        assert dict(found[1].headers)[b"location"] == b"/pay/7"
        assert answered(store, "POST", "/pay?page=2&x=1", content, **given) is None
        assert answered(store, "POST", "/pay?page=2", content.replace(b"urgent", b"slow"), **given) is None

    def test_many_mappings_scenarios_and_the_last_first(self) -> None:
        state = {"scenarioName": "order", "requiredScenarioState": "Started", "newScenarioState": "Paid"}
        store = store_of(
            json.dumps(
                {
                    "mappings": [
                        {"request": {"method": "GET", "url": "/a?x=1"}, "response": {"body": "old"}},
                        {"request": {"method": "GET", "url": "/a?x=1"}, "response": {"body": "new"}},
                        {"request": {"method": "POST", "urlPathPattern": "/order/[0-9]+"}, "response": {}, **state},
                        {
                            "request": {"method": "ANY", "urlPathTemplate": "/order/{id}"},
                            "response": {
                                "body": "{{jsonPath request.body '$.who'}} {{request.path.id}}",
                                "transformers": ["response-template"],
                            },
                            **state,
                            "requiredScenarioState": "Paid",
                        },
                    ]
                }
            )
        )

        assert answer(store, "GET", "/a?x=1")[2] == b"new"
        assert answer(store, "POST", "/order/7")[2] == b""
        assert answer(store, "POST", "/order/7", b'{"who": "joe"}')[2] == b"joe 7"

    def test_a_body_file_is_in_the_folder_that_wiremock_has_for_it(self, tmp_path: Path) -> None:
        for folder in ("mappings", "__files"):
            (tmp_path / folder).mkdir()
        (tmp_path / "__files" / "body.txt").write_text("from a file")
        mapping = {"request": {"url": "/f"}, "response": {"bodyFileName": "body.txt"}}
        (tmp_path / "mappings" / "f.json").write_text(json.dumps(mapping))

        assert answer(StubStore([tmp_path]), "GET", "/f")[2] == b"from a file"

    @pytest.mark.parametrize(
        ("manner", "key", "value"),
        [
            ({"fault": "CONNECTION_RESET_BY_PEER"}, "fault", "reset"),
            ({"fault": "EMPTY_RESPONSE"}, "fault", "empty"),
            ({"fault": "MALFORMED_RESPONSE_CHUNK"}, "fault", "truncated"),
            ({"body": "ab", "chunkedDribbleDelay": {"numberOfChunks": 2, "totalDuration": 100}}, "over", 0.1),
            ({"delayDistribution": {"type": "uniform", "lower": 200, "upper": 200}}, "delay", 0.2),
            ({"delayDistribution": {"type": "lognormal", "median": 100, "sigma": 0}}, "delay", pytest.approx(0.1)),
        ],
    )
    def test_faults_and_delays(self, manner: dict[str, Any], key: str, value: object) -> None:
        found = store_of(json.dumps({"request": {"url": "/"}, "response": manner})).answer(asked())

        assert found is not None
        assert getattr(found[1], key) == value

    @pytest.mark.parametrize(
        "mapping",
        [
            {"request": {"url": "/", "cookies": {"a": {"equalTo": "b"}}}},
            {"request": {"url": "/", "headers": {"a": {"doesNotMatch": "b"}}}},
            {"request": {"url": "/", "bodyPatterns": [{"equalToXml": "<a/>"}]}},
            {"request": {"url": "/"}, "response": {"proxyBaseUrl": "http://example.com"}},
            {"request": {"url": "/"}, "postServeActions": []},
        ],
    )
    def test_what_is_not_understood_is_refused_by_its_name(self, mapping: dict[str, Any]) -> None:
        with pytest.raises(StubError, match=r"(cookies|doesNotM|equalToXml|proxyB|postServe).*not under"):
            parse(json.dumps(mapping))


PETS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://{region}.example.com/v1", "variables": {"region": {"default": "eu"}}}],
    "paths": {
        "/pets/{petId}": {
            "get": {
                "operationId": "getPet",
                "responses": {
                    "404": {"$ref": "#/components/responses/Missing"},
                    "200": {
                        "description": "a pet",
                        "headers": {"X-Version": {"required": True, "schema": {"type": "integer"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                    },
                },
            },
            "delete": {"responses": {"204": {"description": "gone"}}},
        },
        "/pets/mine": {
            "get": {
                "responses": {
                    "200": {"description": "", "content": {"application/json": {"example": {"name": "Rex {{x}}"}}}}
                }
            }
        },
        "/pets": {
            "post": {
                "responses": {
                    "default": {"description": "", "content": {"application/problem+json": {"example": {"a": 1}}}},
                    "201": {
                        "description": "",
                        "content": {"application/json": {"examples": {"one": {"value": {"id": 3}}}}},
                    },
                }
            }
        },
    },
    "components": {
        "responses": {"Missing": {"description": "", "content": {"text/plain": {"example": "no such pet"}}}},
        "schemas": {
            "Pet": {
                "allOf": [
                    {"type": "object", "properties": {"id": {"type": "integer", "minimum": 10}}},
                    {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "minLength": 6},
                            "kind": {"enum": ["dog", "cat"]},
                            "born": {"type": "string", "format": "date"},
                            "parents": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}, "maxItems": 0},
                            "secret": {"type": "string", "writeOnly": True},
                        },
                    },
                ]
            }
        },
    },
}


class TestOpenApi:
    def test_a_whole_api_is_mocked(self) -> None:
        store = store_of(json.dumps(PETS))

        status, headers, body = answer(store, "GET", "/v1/pets/7")
        assert (status, headers["x-version"], headers["content-type"]) == (200, "1", "application/json")
        assert json.loads(body) == {"id": 10, "name": "textxx", "kind": "dog", "born": "2026-01-31", "parents": []}
        assert json.loads(answer(store, "GET", "/v1/pets/mine")[2]) == {"name": "Rex {{x}}"}
        assert answer(store, "DELETE", "/v1/pets/7")[0] == 204
        assert answer(store, "POST", "/v1/pets")[::2] == (201, b'{"id":3}')
        assert answered(store, "GET", "/v1/pets/7") == "getPet"

    def test_another_answer_is_given_to_whoever_prefers_it(self) -> None:
        store = store_of(json.dumps(PETS))

        assert answer(store, "GET", "/v1/pets/7", prefer="code=404")[::2] == (404, b"no such pet")
        assert answer(store, "POST", "/v1/pets", prefer="code=500")[0] == 500

    def test_it_may_be_yaml(self, tmp_path: Path) -> None:
        file = tmp_path / "api.yaml"
        file.write_text("openapi: 3.1.0\npaths:\n  /a:\n    get:\n      responses:\n        200: {description: fine}\n")

        assert [each.name for each in load_file(file)] == ["GET /a"]

    def test_what_fastapi_writes_about_itself_is_understood(self) -> None:
        from fastapi import FastAPI
        from pydantic import BaseModel

        class Node(BaseModel):
            name: str
            children: "list[Node]" = []

        app = FastAPI()

        @app.get("/nodes/{number}")
        def node(number: int) -> Node:
            return Node(name=str(number))

        store = store_of(json.dumps(app.openapi()))
        assert set(json.loads(answer(store, "GET", "/nodes/3")[2])) == {"name", "children"}

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"openapi": None, "swagger": "2.0"}, "Swagger 2"),
            ({"paths": {"/a": {"$ref": "other.yaml"}}}, "does not lead anywhere"),
            ({"paths": {"/a": {"$ref": "#/paths/~1a"}}}, "does not lead anywhere"),
            ({"paths": {"/log": {"get": {}}}, "servers": []}, "Reqscope's own"),
        ],
    )
    def test_what_makes_no_sense_is_said(self, change: dict[str, Any], why: str) -> None:
        with pytest.raises(StubError, match=why):
            parse(json.dumps(PETS | change))

    def test_a_schema_that_contains_itself_comes_to_an_end(self) -> None:
        document = {"a": {"type": "object", "properties": {"a": {"$ref": "#/a"}, "b": {"$ref": "#/a"}}}}

        assert len(json.dumps(example_of(document, {"$ref": "#/a"}))) < 1_000_000


def entry(method: str, url: str, status: int, answer: str, **post: str) -> dict[str, Any]:
    request: dict[str, Any] = {"method": method, "url": url, "headers": [{"name": "Cookie", "value": "sid=1"}]}
    if post:
        request["postData"] = post
    headers = [{"name": "Set-Cookie", "value": "sid=secret"}, {"name": "ETag", "value": '"1"'}]
    content = {"text": answer, "mimeType": "application/json"}
    return {"request": request, "response": {"status": status, "headers": headers, "content": content}}


def test_a_har_is_replayed_in_its_order_without_cookies() -> None:
    base = "https://api.example.com"
    entries = [
        entry("GET", f"{base}/jobs/1?full=1", 200, '{"done": false}'),
        entry("POST", f"{base}/jobs", 201, '{"id": 1}', mimeType="application/json", text='{"a": 1}'),
        entry("GET", f"{base}/jobs/1?full=1", 200, '{"done": true}'),
        entry("GET", f"{base}/odd/%7Bx%7D", 200, "{}"),
        entry("GET", f"{base}/cancelled", 0, ""),
        entry("POST", f"{base}/events", 200, "{}"),
    ]
    store = store_of(json.dumps({"log": {"version": "1.2", "entries": entries}}))

    first, second = (answer(store, "GET", "/jobs/1?full=1") for _ in range(2))
    assert (first[2], second[2]) == (b'{"done": false}', b'{"done": true}')
    assert first[1] == {"content-type": "application/json", "etag": '"1"'}
    assert answer(store, "POST", "/jobs", b'{"a": 1}')[0] == 201
    assert answered(store, "POST", "/jobs", b'{"a": 2}') is None
    assert answered(store, "GET", "/odd/{x}") == "GET /odd/\\{x\\}"
    assert answered(store, "GET", "/cancelled") is None
