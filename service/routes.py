"""Where a request went: its path below the root path, and the template of the route that took it."""

from typing import Any

from starlette.routing import Mount
from starlette.types import Scope


def below_root(scope: Scope) -> str:
    """Return the path without the root path, which servers put in front and some proxies take off."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def route_template(scope: Scope, root: str) -> str | None:
    """Return the template that matched, such as `/shop/items/{item}`, or None if no route did.

    :param scope: as the application left it: Starlette and FastAPI note there which route they took
    :param root: the root path before the application saw the scope; mounts have appended theirs since
    """
    route = scope.get("route")
    prefix = "" if scope.get("root_path", "") == root else _mounts(scope, root, route)
    if route is None or isinstance(route, Mount):
        # Below a mount of an application that has routes, none of them matched; any other takes every path.
        mounted = prefix and not hasattr(scope.get("endpoint"), "routes")
        return f"{prefix}/{{path}}" if mounted else None
    # FastAPI keeps the prefixes of include_router beside the route.
    if (fastapi := scope.get("fastapi")) is not None:
        context = fastapi.get("effective_route_context")
        if getattr(context, "original_route", None) is route:
            route = context
    path: str = route.path
    return prefix + path if prefix else path


def _mounts(scope: Scope, root: str, route: Any) -> str:
    """The mounts above the route, with the names of their parameters for the values, which is all that is known."""
    prefix: str = scope["root_path"][len(root) :]
    if not scope.get("path_params"):
        return prefix
    own = getattr(route, "param_convertors", {})
    names = {str(value): f"{{{name}}}" for name, value in scope["path_params"].items() if name not in own}
    return "/".join(names.get(part, part) for part in prefix.split("/"))
