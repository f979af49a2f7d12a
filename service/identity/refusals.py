"""Answers to those who are not let in: a page for a person, a problem document for a program."""

from functools import cache
from html import escape
from http import HTTPStatus
from importlib.resources import files
from string import Template
from typing import Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from reqscope.service.problems import PROBLEM, problem

from .paths import wants_page

PRIVATE: Final = {"cache-control": "no-store"}

# With no-referrer, browsers send `Origin: null` with a form, which looks like one from elsewhere.
PAGE: Final = {
    **PRIVATE,
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def refuse(status: int, detail: str, scope: Scope, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that says why, in the form that whoever asks can read."""
    if wants_page(scope):
        reason, detail = HTTPStatus(status).phrase, detail[:1].upper() + detail[1:]
        body = page("refusal.html", title=f"{reason} · Reqscope", root=scope["root_path"], reason=reason, detail=detail)
        return HTMLResponse(body, status, PAGE | (headers or {}))
    return Response(problem(status, detail), status, PRIVATE | (headers or {}), PROBLEM.decode())


def unknown(scope: Scope) -> Response:
    """Return the answer to a program that sent no token, or none that counts."""
    detail = "sign in, or send a token: Authorization: Bearer …, made by `reqscope token add NAME --scope read`"
    return refuse(401, detail, scope, {"www-authenticate": 'Bearer realm="reqscope"'})


def access_router() -> APIRouter:
    """Return the route of what the pages here look like."""
    router = APIRouter(include_in_schema=False)

    @router.get("/access.css")
    @router.head("/access.css")
    async def style() -> Response:
        return Response(asset("access.css"), media_type="text/css", headers={"cache-control": "max-age=3600"})

    return router


def redirect(url: str) -> Response:
    """Send a browser elsewhere, to be fetched with GET."""
    return RedirectResponse(url, 303, PRIVATE)


def page(template: str, /, *, title: str, root: str, refresh: str = "", **texts: str) -> str:
    """Return a page with these texts in it, as text.

    :param root: the path that the panel is below
    :param refresh: a path that the browser goes to by itself
    :raises KeyError: the page needs another text
    """
    content = Template(asset(template)).substitute({key: escape(text) for key, text in {**texts, "root": root}.items()})
    return Template(asset("frame.html")).substitute(
        title=escape(title),
        root=escape(root),
        refresh=f'\n  <meta http-equiv="refresh" content="0;url={escape(refresh)}">' if refresh else "",
        content=content,
    )


@cache
def asset(name: str) -> str:
    return files("reqscope.service.identity").joinpath("assets", name).read_text("utf-8")
