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
    PlatformQuirks,
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
    "PlatformQuirks",
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
