"""Who gets in to a panel that only this machine can reach, as long as nobody has said anything else."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response

from .direct import is_own, own_users
from .signin import OneTimeLink, SignIn
from .users import Users
from .visits import User, Visit


class ThisUser(SignIn):
    """Lets in the user who runs this server, and asks others for a link that the terminal shows when they come.

    Others are who else has an account on this machine, where the system says whose a connection is, and whatever
    comes through a proxy. Root is let in: it could read this process anyway, and what forwards ports into containers
    and virtual machines runs as root.

    :param trusted: ids of the users who are not asked; without, who runs this process, and root
    """

    def __init__(
        self, users: Users, links: dict[str, str | int] | None = None, trusted: Collection[int] | None = None
    ) -> None:
        super().__init__(users, OneTimeLink(), links)
        self._own = Visit(User("", "admin"), links=links or {})
        self._trusted = own_users() if trusted is None else frozenset(trusted)
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
        return self._own if is_own(request.scope, self._trusted) else await super().visit(request)
