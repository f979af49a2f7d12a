"""Every way in which a NATS server can ask who is there: with a real server, and keys made for the test."""

import base64
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.bridge import AddressError, BridgeError
from reqscope.service.bridge.packed import Packed, pack

from .bridging import arrived, event, expected_paths, panel, paths, worker
from .brokers import NatsBroker

pytestmark = pytest.mark.anyio

SIGN_OF_LIFE = pack(Packed(worker="1", boot="b", number=0, after=0))
PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
"""What makes the names of keys begin with O, A and U."""


class Configured(NatsBroker):
    """A server that is told by a file who may come in."""

    def __init__(self, folder: Path, configuration: str) -> None:
        super().__init__(folder)
        self._configuration = folder / "nats.conf"
        self._configuration.write_text(configuration)

    def options(self) -> list[str]:
        return [*super().options(), "-c", str(self._configuration)]


class Key:
    """A pair of keys, as NATS writes them."""

    def __init__(self, nkeys: ModuleType, kind: str) -> None:
        self.seed = nkeys.encode_seed(secrets.token_bytes(32), PREFIXES[kind])
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def signs(self, subject: str, name: str, claims: Mapping[str, object]) -> str:
        """Return a token of this key's about another one."""
        about = {"jti": name, "iat": 1, "iss": self.public, "sub": subject, "name": name, "nats": claims}
        body = ".".join(_url(json.dumps(each).encode()) for each in ({"typ": "JWT", "alg": "ed25519-nkey"}, about))
        return f"{body}.{_url(self._pair.sign(body.encode()))}"


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def nkeys() -> ModuleType:
    module: ModuleType = pytest.importorskip("nkeys", reason="pip install 'reqscope[nats]'")
    return module


@asynccontextmanager
async def decentralised(folder: Path, nkeys: ModuleType) -> AsyncGenerator[tuple[Configured, Path]]:
    """Start a server with an operator, and yield it with a file of credentials of one of its users."""
    operator, account, user = (Key(nkeys, kind) for kind in PREFIXES)
    system = Key(nkeys, "account")
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    streams = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    claims: dict[str, object] = {"limits": {**unlimited, **streams, "wildcards": True}, "type": "account", "version": 2}
    own: dict[str, object] = {"limits": {**unlimited, "wildcards": True}, "type": "account", "version": 2}
    known = {each.public: operator.signs(each.public, "A", of) for each, of in ((account, claims), (system, own))}
    users = account.signs(user.public, "U", {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2})
    credentials = folder / "app.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{users}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    trusted = operator.signs(operator.public, "O", {"type": "operator", "version": 2})
    configuration = (
        f"operator: {trusted}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {json.dumps(known)}\n"
    )
    async with Configured(folder, configuration) as server:
        yield server, credentials


async def _delivers(address: str) -> None:
    async with panel(connect(address)) as (shown, _), worker(connect(address)) as (bus, _):
        for number in range(50):
            bus.publish(event(number))
        await arrived(shown, 50)

        assert paths(shown) == expected_paths(50)


async def _refused(address: str, words: str) -> str:
    bridge = connect(address)
    with pytest.raises(BridgeError, match=words) as caught:
        await bridge.publish(SIGN_OF_LIFE, "")
    await bridge.aclose()
    return str(caught.value)


async def test_by_user_and_password(tmp_path: Path) -> None:
    async with Configured(tmp_path, 'authorization { user: app, password: "geheim" }') as server:
        await _delivers(f"nats://app:geheim@127.0.0.1:{server.port}")
        assert "falsch" not in await _refused(f"nats://app:falsch@127.0.0.1:{server.port}", "(?i)authorization")


async def test_by_token(tmp_path: Path) -> None:
    async with Configured(tmp_path, 'authorization { token: "geheim" }') as server:
        await _delivers(f"nats://geheim@127.0.0.1:{server.port}")
        assert "falsch" not in await _refused(f"nats://falsch@127.0.0.1:{server.port}", "(?i)authorization")


async def test_by_nkey(tmp_path: Path, nkeys: ModuleType) -> None:
    key, other = Key(nkeys, "user"), Key(nkeys, "user")
    for name, each in (("app", key), ("other", other)):
        (tmp_path / f"{name}.nk").write_bytes(each.seed)
    async with Configured(tmp_path, f"authorization {{ users = [ {{ nkey: {key.public} }} ] }}") as server:
        address = f"nats://127.0.0.1:{server.port}?nkey={tmp_path}"
        await _delivers(f"{address}/app.nk")
        await _refused(f"{address}/other.nk", "(?i)authorization")


async def test_by_a_file_of_credentials(tmp_path: Path, nkeys: ModuleType) -> None:
    async with decentralised(tmp_path, nkeys) as (server, credentials):
        await _delivers(f"nats://127.0.0.1:{server.port}?stream=shop&creds={credentials}")
        await _refused(f"nats://127.0.0.1:{server.port}", "(?i)authorization")


@pytest.mark.parametrize("option", ["creds", "nkey"])
async def test_a_file_that_is_missing_or_holds_something_else_is_named_and_not_quoted(
    option: str, tmp_path: Path, nkeys: ModuleType
) -> None:
    (tmp_path / "wrong").write_text(
        "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n\n"
        "-----BEGIN USER NKEY SEED-----\ngeheim\n------END USER NKEY SEED------\n"
    )
    key = Key(nkeys, "user")
    async with Configured(tmp_path, f"authorization {{ users = [ {{ nkey: {key.public} }} ] }}") as server:
        address = f"nats://127.0.0.1:{server.port}?{option}={tmp_path}"
        await _refused(f"{address}/missing", "missing")
        assert "geheim" not in await _refused(f"{address}/wrong", "wrong holds no credentials")


async def test_without_what_reads_such_files_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reqscope.service.bridge.nats_jetstream.find_spec", lambda name: None)
    with pytest.raises(AddressError, match="pip install"):
        connect("nats://127.0.0.1:4222?creds=app.creds")
    await anyio.lowlevel.checkpoint()
