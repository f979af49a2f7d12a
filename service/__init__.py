"""Capture, ingest, query, settings, servers and the command line."""

from .capture import CaptureMiddleware as CaptureMiddleware
from .collector import create_app as create_app
from .identity import User as User
from .identity import local_path as local_path
from .identity import proxy_header as proxy_header
from .identity import require_admin as require_admin
from .monitor import Monitor as Monitor
from .redaction import Redaction as Redaction
from .settings import Settings as Settings
