"""What must never be seen: known by the name it stands under, or by its looks."""

from .masks import MASK as MASK
from .names import SENSITIVE as SENSITIVE
from .redaction import Redaction as Redaction
