"""Capture, ingest, query, settings, servers and the command line."""

from .access import User as User
from .access import local_path as local_path
from .access import proxy_header as proxy_header
from .access import require_admin as require_admin
from .capture import CaptureMiddleware as CaptureMiddleware
from .collector import create_app as create_app
from .monitor import Monitor as Monitor
from .redaction import Redaction as Redaction
from .settings import Settings as Settings
