"""Which policy the settings ask for, and what is missing before others may be able to reach a server."""

import logging
from typing import Any, Final, Literal, TypeAlias

from starlette.types import Scope

from .identity.direct import is_direct
from .identity.hostlogin import Auth, HostLogin
from .identity.policies import Everybody, Policy, ThisMachine
from .identity.private_file import PrivateFileError
from .identity.signin import OneTimeLink, SignIn
from .identity.this_user import ThisUser
from .identity.tokens import Tokens, bearer
from .identity.users import Users
from .settings import Settings

MonitorAuth: TypeAlias = Auth | Literal["open", "users"] | None

logger = logging.getLogger(__name__)

_FOR_THE_HOST: Final = "login_url and logout_url go with a function given as auth="


def standalone_policy(settings: Settings, links: dict[str, str | int] | None = None) -> Policy:
    """Return who gets in to a panel on a port of its own.

    :raises PrivateFileError: the users cannot be read
    """
    users = Users(settings.users_file)
    if asks_people(settings, users):
        return SignIn(users, None if len(users) else OneTimeLink(), links)
    if settings.sign_in == "off" or settings.insecure:
        return Everybody(links)
    return ThisUser(users, links)


def asks_people(settings: Settings, users: Users) -> bool:
    """Whether everybody has to sign in: when users are configured, or other machines reach the panel, or by wish."""
    if settings.sign_in != "auto":
        return settings.sign_in == "on"
    return len(users) > 0 or not (settings.is_loopback or settings.insecure)


def mounted_policy(
    auth: MonitorAuth,
    settings: Settings,
    login_url: str | None = None,
    logout_url: str | None = None,
    app_url: str | None = None,
    host: Any = None,
) -> Policy:
    """Return who gets in to a panel in an application.

    :raises ValueError: a URL is not the application's own, or is given where there is no use for it
    :raises PrivateFileError: the users cannot be read
    """
    if auth is not None and not isinstance(auth, str):
        return HostLogin(auth, login_url, logout_url, app_url, host)
    if login_url is not None or logout_url is not None:
        raise ValueError(_FOR_THE_HOST)
    if auth == "users":
        users = Users(settings.users_file)
        if not len(users):
            raise ValueError(f"there are no users in {settings.users_file}: make one with `reqscope user add NAME`")
        return SignIn(users)
    if auth not in (None, "open"):
        raise ValueError(f"auth is a function of the request, 'users' or 'open', not {auth!r}")
    return ThisMachine() if auth is None else Everybody()


def missing_credentials(settings: Settings, *, ingest: bool) -> list[str]:
    """Return what to do before others may reach servers with these settings; nothing if that is in order.

    :param ingest: whether records can be sent
    :raises PrivateFileError: users or tokens cannot be read
    """
    if settings.is_loopback or settings.insecure:
        return []
    steps = list[str]()
    if settings.sign_in == "off" or (settings.sign_in == "auto" and not len(Users(settings.users_file))):
        steps.append(
            "for the panel: reqscope user add NAME, or --sign-in on for a link in this terminal that works once"
        )
    if ingest and not Tokens(settings.tokens_file).has("ingest"):
        steps.append("for sending records: reqscope token add NAME --scope ingest")
    return steps


class IngestGuard:
    """Says whether a request may send records: any on this machine alone, else those with a token for it.

    :param by_request: whether each request is looked at, because it is not known what address is listened on
    """

    def __init__(self, settings: Settings, *, by_request: bool = False) -> None:
        self._tokens = Tokens(settings.tokens_file)
        self._open = settings.is_loopback and not by_request
        self._insecure = settings.insecure
        self._by_request = by_request

    def __call__(self, scope: Scope) -> bool:
        if self._open or (self._by_request and is_direct(scope)):
            return True
        try:
            token = bearer(scope)
            known = None if token is None else self._tokens.find(token)
            return (known is not None and known.allows("ingest")) or (self._insecure and not self._tokens.has("ingest"))
        except PrivateFileError as error:
            logger.error("no record is taken: %s", error)
            return False
