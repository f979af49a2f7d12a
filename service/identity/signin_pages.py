"""The pages of Reqscope's own sign-in: rendered here, and without a script."""

from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, Response

from .paths import local_path
from .refusals import PAGE, page, redirect
from .signin import LockedError, SignIn, TooBusyError
from .visits import User

_MAX_FORM: Final = 8_192
_FIELDS: Final = 8
_FORM: Final = "application/x-www-form-urlencoded"

_WRONG: Final = "That name and password do not belong together."
_USED: Final = (
    "This link has been used already, or is not of this server. The terminal that it runs in shows a new one."
)
_BUSY: Final = "Many people are signing in. Try again in a moment."


def sign_in_router(sign_in: SignIn) -> APIRouter:
    """Return the routes to sign in and out, which are for browsers and in no schema."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sign-in")
    async def show(
        request: Request,
        next: Annotated[str | None, Query()] = None,  # noqa: A002 - the parameter's public name
        link: str = "",
    ) -> Response:
        if not link and await sign_in.visit(request) is not None:
            return redirect(_back(request, next))
        return _page(sign_in, request, next, link=link)

    @router.post("/sign-in")
    async def enter(request: Request) -> Response:
        form = await _form(request)
        back = _back(request, form.get("next"))
        if link := form.get("link", ""):
            user = User("admin", "admin") if sign_in.link is not None and sign_in.link.use(link) else None
            return _entered(sign_in, user, request, back, configured=False) or _page(sign_in, request, back, _USED, 403)
        name = form.get("name", "")
        try:
            user = await sign_in.verify(name, form.get("password", ""), request.client.host if request.client else "")
        except LockedError as locked:
            minutes = max(1, round(locked.seconds / 60))
            text = f"Too many passwords were wrong. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
            return _page(sign_in, request, back, text, 429, name, retry=int(locked.seconds) + 1)
        except TooBusyError:
            return _page(sign_in, request, back, _BUSY, 503, name, retry=2)
        return _entered(sign_in, user, request, back, configured=True) or _page(
            sign_in, request, back, _WRONG, 403, name
        )

    @router.post("/sign-out")
    async def leave(request: Request) -> Response:
        response = redirect(f"{request.scope['root_path']}/sign-in")
        sign_in.end(request.scope, response)
        return response

    return router


def _entered(sign_in: SignIn, user: User | None, request: Request, back: str, *, configured: bool) -> Response | None:
    if user is None:
        return None
    response = redirect(back)
    sign_in.begin(user, request.scope, response, configured=configured)
    return response


def _back(request: Request, text: str | None) -> str:
    return local_path(text, f"{request.scope['root_path']}/")


def _page(
    sign_in: SignIn,
    request: Request,
    back: str | None,
    error: str = "",
    status: int = 200,
    name: str = "",
    *,
    link: str = "",
    retry: int = 0,
) -> Response:
    if link:
        kind = "sign_in_link.html"
    elif sign_in.link is None or sign_in.has_users:
        kind = "sign_in.html"
    else:
        kind = "sign_in_terminal.html"
        sign_in.show_link()
    body = page(
        kind,
        title="Sign in · Reqscope",
        root=request.scope["root_path"],
        next=_back(request, back),
        error=error,
        name=name,
        link=link,
        hidden="" if error else "hidden",
        first="" if name else "autofocus",
        then="autofocus" if name else "",
    )
    headers = {**PAGE, "retry-after": str(retry)} if retry else PAGE
    return HTMLResponse(body, status, headers)


async def _form(request: Request) -> dict[str, str]:
    """Return a small form's fields.

    :raises HTTPException: it is none, or not small
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, f"send the form as {_FORM}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise HTTPException(413, f"the form is larger than {_MAX_FORM} bytes")
    try:
        fields = parse_qs(body.decode(), max_num_fields=_FIELDS, keep_blank_values=True, errors="strict")
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    return {name: values[0] for name, values in fields.items()}
