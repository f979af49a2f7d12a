"""WireMock's mapping files, in so far as they say what a stub can say. What cannot be said is refused, not left out."""

import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from .stub import Stub

_URLS: Final = ("url", "urlPath", "urlPattern", "urlPathPattern", "urlPathTemplate")
_REQUEST: Final = {
    *_URLS,
    "method",
    "queryParameters",
    "headers",
    "bodyPatterns",
    "formParameters",
    "basicAuthCredentials",
}
_RESPONSE: Final = {
    "status", "statusMessage", "headers", "body", "jsonBody", "base64Body", "bodyFileName", "fixedDelayMilliseconds",
    "delayDistribution", "chunkedDribbleDelay", "fault", "transformers",
}  # fmt: skip
_THEIRS: Final = _RESPONSE - {"status", "headers", "body", "fault"}
_MAPPING: Final = {
    "request", "response", "name", "priority", "scenarioName", "requiredScenarioState", "newScenarioState",
    "id", "uuid", "persistent", "metadata", "insertionIndex",
}  # fmt: skip
_FAULTS: Final = {
    "EMPTY_RESPONSE": "empty",
    "CONNECTION_RESET_BY_PEER": "reset",
    "MALFORMED_RESPONSE_CHUNK": "truncated",
    "RANDOM_DATA_THEN_CLOSE": "truncated",
}
_MOST_URGENT: Final = 5
_JSON_PATH: Final = re.compile(r"\{\{\s*jsonPath\s+request\.body\s+'\$\.([\w.]+)'\s*\}\}")


def is_wiremock(content: dict[str, Any]) -> bool:
    """Whether this is a mapping, or a list of them."""
    request, response = content.get("request"), content.get("response")
    return (
        isinstance(content.get("mappings"), list)
        or (isinstance(request, dict) and not {*_URLS, "bodyPatterns", "queryParameters"}.isdisjoint(request))
        or (
            isinstance(response, dict) and not (_RESPONSE - {"status", "headers", "body", "fault"}).isdisjoint(response)
        )
        or "scenarioName" in content
    )


def wiremock_stubs(content: dict[str, Any]) -> list[Stub]:
    """Return the stubs of a mapping file.

    :raises ValueError: it says what a stub cannot say, naming it
    """
    mappings = content.get("mappings", [content])
    stubs: list[Stub] = []
    for number, mapping in enumerate(mappings):
        try:
            stubs.append(_stub(mapping))
        except (ValueError, msgspec.ValidationError) as error:
            raise ValueError(f"mapping {mapping.get('name') or number}: {error}") from None
    # WireMock takes the last that fits, where a file of stubs takes the first.
    return stubs[::-1]


def _stub(mapping: dict[str, Any]) -> Stub:
    _refuse_others(mapping, _MAPPING, "a mapping")
    stub: dict[str, Any] = {
        "priority": mapping.get("priority", _MOST_URGENT),
        "request": _request(mapping.get("request", {})),
        "response": _response(mapping.get("response", {})),
    }
    if "name" in mapping:
        stub["name"] = mapping["name"]
    if "scenarioName" in mapping:
        states = {"is": mapping.get("requiredScenarioState"), "becomes": mapping.get("newScenarioState")}
        known = {key: "started" if value == "Started" else value for key, value in states.items() if value is not None}
        stub["state"] = {"of": mapping["scenarioName"], **known}
    return msgspec.convert(stub, Stub)


def _request(request: dict[str, Any]) -> dict[str, Any]:
    _refuse_others(request, _REQUEST, "a request")
    made: dict[str, Any] = {"method": request.get("method", "ANY")}
    query = {name: _rule(rule) for name, rule in request.get("queryParameters", {}).items()}
    headers = {name: _rule(rule) for name, rule in request.get("headers", {}).items()}
    if "url" in request:
        parts = urlsplit(request["url"])
        made["path_regex"] = re.escape(parts.path)
        query |= {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    elif "urlPath" in request:
        made["path_regex"] = re.escape(request["urlPath"])
    elif "urlPathTemplate" in request:
        made["path"] = request["urlPathTemplate"]
    elif "urlPathPattern" in request:
        made["path_regex"] = request["urlPathPattern"]
    elif "urlPattern" in request:
        if "?" in re.sub(r"\(\?|[*+)\]}.]\?", "", request["urlPattern"]):
            raise ValueError("urlPattern with a query: use urlPathPattern and queryParameters")
        made["path_regex"] = request["urlPattern"]
    # Most paths have nothing that a template would take for a name, and the index knows them by their first segment.
    plain = request.get("urlPath") or urlsplit(request.get("url", "")).path
    if plain and not set(plain) & set("{}"):
        made.pop("path_regex", None)
        made["path"] = plain
    if (basic := request.get("basicAuthCredentials")) is not None:
        from base64 import b64encode

        pair = f"{basic['username']}:{basic['password']}".encode()
        headers["authorization"] = f"Basic {b64encode(pair).decode()}"
    form = {name: _rule(rule) for name, rule in request.get("formParameters", {}).items()}
    return {**made, "query": query, "headers": headers, "form": form, **_body(request.get("bodyPatterns", []))}


def _body(patterns: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    text: dict[str, Any] = {}
    for pattern in patterns:
        if "equalToJson" in pattern:
            _refuse_others(pattern, {"equalToJson", "ignoreExtraElements"}, "equalToJson")
            expected = pattern["equalToJson"]
            expected = msgspec.json.decode(expected) if isinstance(expected, str) else expected
            made["json" if pattern.get("ignoreExtraElements") else "json_equals"] = expected
        elif "matchesJsonPath" in pattern:
            wanted = pattern["matchesJsonPath"]
            if isinstance(wanted, str):
                paths[wanted] = {}
            else:
                rule = _rule({key: value for key, value in wanted.items() if key != "expression"})
                paths[wanted["expression"]] = _json_rule(rule)
        else:
            rule = _rule(pattern)
            text |= {"equals": rule} if isinstance(rule, str) else rule
    return {**made, **({"json_path": paths} if paths else {}), **({"body": text} if text else {})}


def _json_rule(rule: Any) -> Any:
    if isinstance(rule, dict) and "contains" in rule:
        return {"regex": f".*{re.escape(rule['contains'])}.*"}
    return rule


def _rule(rule: dict[str, Any]) -> Any:
    """Return a rule for a text."""
    _refuse_others(rule, {"equalTo", "contains", "matches", "caseInsensitive", "absent"}, "a rule")
    if rule.get("absent"):
        return {"absent": True}
    names = {"equalTo": "equals", "contains": "contains", "matches": "regex", "caseInsensitive": "ignore_case"}
    return {names[key]: value for key, value in rule.items() if key in names}


def _response(response: dict[str, Any]) -> dict[str, Any]:
    _refuse_others(response, _RESPONSE, "a response")
    transformers = response.get("transformers", [])
    _refuse_others(dict.fromkeys(transformers), {"response-template"}, "transformers")
    made: dict[str, Any] = {"status": response.get("status", 200), "template": bool(transformers)}
    if "headers" in response:
        made["headers"] = {
            name: value
            for name, value in response["headers"].items()
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "keep-alive")
        }
    for theirs, ours in (("jsonBody", "json"), ("base64Body", "base64")):
        if theirs in response:
            made[ours] = response[theirs]
    if "body" in response:
        made["body"] = _JSON_PATH.sub(r"{{request.json.\1}}", response["body"]) if transformers else response["body"]
    if "bodyFileName" in response:
        made["file"] = f"__files/{response['bodyFileName']}"
    return made | _manner(response)


def _manner(response: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "fixedDelayMilliseconds" in response:
        made["delay"] = response["fixedDelayMilliseconds"] / 1_000
    if (spread := response.get("delayDistribution")) is not None:
        match spread.get("type"):
            case "uniform":
                low, high = spread["lower"] / 1_000, spread["upper"] / 1_000
                made["delay"] = {"uniform": {"low": low, "high": high}}
            case "lognormal":
                made["delay"] = {"lognormal": {"median": spread["median"] / 1_000, "sigma": spread["sigma"]}}
            case "fixed":
                made["delay"] = spread["milliseconds"] / 1_000
            case other:
                raise ValueError(f"there is no delayDistribution {other!r} here")
    if (dribble := response.get("chunkedDribbleDelay")) is not None:
        made["dribble"] = {"chunks": dribble["numberOfChunks"], "over": dribble["totalDuration"] / 1_000}
    if "fault" in response:
        if response["fault"] not in _FAULTS:
            raise ValueError(f"there is no fault {response['fault']} here; there are {', '.join(_FAULTS)}")
        made["fault"] = _FAULTS[response["fault"]]
    return made


def _refuse_others(given: dict[str, Any], known: set[str], what: str) -> None:
    if others := sorted(given.keys() - known):
        raise ValueError(f"WireMock's {', '.join(others)} in {what} is not understood")
