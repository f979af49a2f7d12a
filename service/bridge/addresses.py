"""Which bridge an address names."""

from .bridge import AddressError, Bridge
from .unix import UnixBridge


def connect(address: str) -> Bridge:
    """Return the bridge at that address. It is not contacted yet.

    :raises AddressError: it is none that is known, or its client is not installed
    """
    scheme, _, rest = address.partition(":")
    if scheme == "unix" and rest:
        return UnixBridge(rest.removeprefix("//"))
    if scheme in ("redis", "rediss"):
        try:
            from .redis_streams import RedisBridge
        except ImportError:
            raise AddressError("Redis needs its client: pip install 'reqscope[redis]'") from None
        return RedisBridge(address)
    if scheme in ("nats", "tls"):
        try:
            from .nats_jetstream import NatsBridge
        except ImportError:
            raise AddressError("NATS needs its client: pip install 'reqscope[nats]'") from None
        return NatsBridge(address)
    raise AddressError("write unix:/run/reqscope.sock, redis://host:6379/0 or nats://host:4222")
