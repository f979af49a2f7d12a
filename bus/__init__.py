"""Events, the ring that keeps them, the bus that carries them, and their readers.

Knows neither FastAPI nor Gradio.
"""

from .batch import Batch as Batch
from .event import Body as Body
from .event import Event as Event
from .event import Failure as Failure
from .event import LogLine as LogLine
from .eventbus import BusStatistics as BusStatistics
from .eventbus import EventBus as EventBus
from .failures import FailureGroup as FailureGroup
from .failures import Failures as Failures
from .filters import Filter as Filter
from .filters import FilterError as FilterError
from .histogram import Histogram as Histogram
from .inflight import InFlight as InFlight
from .jsonlog import JsonLogSink as JsonLogSink
from .logfile import LogFile as LogFile
from .logfile import Rotation as Rotation
from .looplag import LoopLag as LoopLag
from .ring import RingBuffer as RingBuffer
from .ring import RingStatistics as RingStatistics
from .rotated import Retention as Retention
from .rotated import rotated_files as rotated_files
from .routestats import RouteRow as RouteRow
from .routestats import RouteStats as RouteStats
from .running import Running as Running
from .sinks import Sink as Sink
from .sinks import SinkRunner as SinkRunner
from .sinks import SinkStatistics as SinkStatistics
from .stats import Snapshot as Snapshot
from .stats import Stats as Stats
from .subscription import Subscription as Subscription
from .subscription import SubscriptionStatistics as SubscriptionStatistics
