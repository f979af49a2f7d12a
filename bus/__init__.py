"""Events, the ring that keeps them, the bus that carries them, and their readers.

Knows neither FastAPI nor Gradio.
"""

from .event import Event as Event
from .eventbus import BusStatistics as BusStatistics
from .eventbus import EventBus as EventBus
from .filters import Filter as Filter
from .filters import FilterError as FilterError
from .histogram import Histogram as Histogram
from .jsonlog import JsonLogSink as JsonLogSink
from .ring import Batch as Batch
from .ring import RingBuffer as RingBuffer
from .ring import RingStatistics as RingStatistics
from .sinks import Sink as Sink
from .sinks import SinkRunner as SinkRunner
from .sinks import SinkStatistics as SinkStatistics
from .stats import Snapshot as Snapshot
from .stats import Stats as Stats
from .subscription import Subscription as Subscription
from .subscription import SubscriptionStatistics as SubscriptionStatistics
