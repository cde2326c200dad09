"""The only module that a plug-in imports from us."""

from rmplugin import http
from rmplugin.errors import (
    ExternalError,
    FatalError,
    InputError,
    RetriableError,
    RmError,
    SkippableRecordError,
)
from rmplugin.hookspecs import hookimpl
from rmplugin.records import (
    CheckResult,
    CompletionRecord,
    CompletionSink,
    EmployeeRecord,
    HrisConnector,
    NavLink,
    RosterPage,
    SinkAnswer,
    SinkServices,
    SkippedRecord,
)

__all__ = [
    "CheckResult",
    "CompletionRecord",
    "CompletionSink",
    "EmployeeRecord",
    "ExternalError",
    "FatalError",
    "HrisConnector",
    "InputError",
    "NavLink",
    "RetriableError",
    "RmError",
    "RosterPage",
    "SinkAnswer",
    "SinkServices",
    "SkippableRecordError",
    "SkippedRecord",
    "hookimpl",
    "http",
]
