"""A third-party service that is played by stubs, and watched like any other."""

from .app import MockApp as MockApp
from .files import StubError as StubError
from .store import StubStore as StubStore
from .stub import Stub as Stub
from .stub import json_schema as json_schema
