"""Who gets in to a panel that only this machine can reach, as long as nobody has said anything else."""

import os
import struct
from collections.abc import Collection
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from .peers import user_of
from .policies import is_direct
from .signin import OneTimeLink, SignIn
from .users import Users
from .visits import User, Visit

ROOT: Final = 0


class ThisUser(SignIn):
    """Lets in the user who runs this server, and asks others for a link that the terminal shows when they come.

    Others are who else has an account on this machine, and whatever comes through a proxy. Root could read this
    process anyway, and what forwards ports into containers and virtual machines runs as root.

    :param trusted: ids of the users who are not asked; without, who runs this process, and root
    """

    def __init__(
        self, users: Users, links: dict[str, str | int] | None = None, trusted: Collection[int] | None = None
    ) -> None:
        super().__init__(users, OneTimeLink(), links)
        self._own = Visit(User("", "admin"), links=links or {})
        self._trusted = {os.geteuid(), ROOT} if trusted is None else set(trusted)
        self._shown = ""

    @property
    def entrance(self) -> str:
        return ""

    def show_link(self) -> None:
        assert self.link is not None
        if self._shown != self.link.path:
            self._shown = self.link.path
            self.link.announce(self.link.path, False)

    async def visit(self, request: Request) -> Visit | Response | None:
        return self._own if self._is_own(request.scope) else await super().visit(request)

    def _is_own(self, scope: Scope) -> bool:
        client, server = scope.get("client"), scope.get("server")
        if client is None or server is None or not is_direct(scope):
            return False
        try:
            user = user_of(tuple(client), tuple(server))
        except (OSError, ValueError, struct.error):  # it cannot be told now: a link still lets in
            return False
        return user is not None and user in self._trusted
