"""A value that a JSON Schema allows, the same each time, made for people to recognise."""

from typing import Any, Final

_DEEP: Final = 12
_TEXTS: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dGV4dA==",
}


def resolve(document: dict[str, Any], node: Any) -> dict[str, Any]:
    """Return what a `$ref` refers to, within the document, or the node itself.

    :raises ValueError: it refers to what is not there, to another document, or round in a circle
    """
    seen = set[str]()
    while isinstance(node, dict) and isinstance(node.get("$ref"), str):
        ref: str = node["$ref"]
        if not ref.startswith("#/") or ref in seen:
            raise ValueError(f"{ref} does not lead anywhere in this document")
        seen.add(ref)
        node = document
        for part in ref[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or key not in node:
                raise ValueError(f"{ref} is not in this document")
            node = node[key]
    return node if isinstance(node, dict) else {}


def example_of(document: dict[str, Any], schema: Any, depth: int = 0) -> Any:
    """Return an example of a schema: its own, its default, the first of its enumeration, or one that is made up.

    What contains itself ends as null, or as an empty list.

    :raises ValueError: a reference leads nowhere
    """
    if depth > _DEEP:
        return None
    schema = resolve(document, schema)
    for name in ("example", "const", "default"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if isinstance(schema.get(name), list) and schema[name]:
            return schema[name][0]
    if schema.get("allOf"):
        return _merged(document, schema, depth)
    for name in ("oneOf", "anyOf"):
        if schema.get(name):
            return example_of(document, schema[name][0], depth + 1)
    return _of_type(document, schema, depth)


def _of_type(document: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:
    match _type(schema):
        case "object":
            return {
                name: example_of(document, each, depth + 1)
                for name, each in schema.get("properties", {}).items()
                if not resolve(document, each).get("writeOnly")
            }
        case "array":
            least = max(1, min(int(schema.get("minItems", 1)), 20))
            if depth >= _DEEP or schema.get("maxItems") == 0:
                return []
            return [example_of(document, schema.get("items", {}), depth + 1)] * least
        case "string":
            return _text(schema)
        case "integer":
            return int(_number(schema, 1))
        case "number":
            return _number(schema, 1.5)
        case "boolean":
            return True
        case _:
            return None


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # OpenAPI 3.1
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else ""
    return str(kind)


def _text(schema: dict[str, Any]) -> str:
    text = _TEXTS.get(schema.get("format", ""), "text")
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1_000))
    return text.ljust(min(least, 10_000), "x")[: max(most, 0)]


def _number(schema: dict[str, Any], usual: float) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf", 1)
    if isinstance(above := schema.get("exclusiveMinimum"), int | float) and not isinstance(above, bool):
        low = above + step
    elif above is True and low is not None:
        low += step
    if low is not None and usual < low:
        return float(low)
    if high is not None and usual > high:
        return float(high)
    return float(step) if step != 1 else usual


def _merged(document: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:
    parts = [example_of(document, each, depth + 1) for each in schema["allOf"]]
    if "properties" in schema:
        parts.append(_of_type(document, {**schema, "type": "object"}, depth))
    objects = [each for each in parts if isinstance(each, dict)]
    return {key: value for each in objects for key, value in each.items()} if objects else parts[0]
