"""The live panel: a Gradio page that is pushed what is new."""

from .frames import Health as Health
from .live import LiveFeed as LiveFeed
from .panel import Panel as Panel
