"""The only module that a plug-in imports from us."""

from rmplugin import http
from rmplugin.errors import (
    CursorExpiredError,
    ExternalError,
    FatalError,
    InputError,
    NotAllowedError,
    RetriableError,
    RmError,
    SkippableRecordError,
)
from rmplugin.hookspecs import hookimpl
from rmplugin.records import (
    Capabilities,
    CheckResult,
    CompletionRecord,
    CompletionSink,
    EmployeeRecord,
    Employment,
    EmploymentStatus,
    HrisConnector,
    NavLink,
    PlatformQuirks,
    RosterPage,
    SinkAnswer,
    SinkServices,
    SkippedRecord,
    WebhookNotice,
    WebhookReader,
)
from rmplugin.scim_user import SCIM_MAPPABLE, read_scim_user

__all__ = [
    "SCIM_MAPPABLE",
    "Capabilities",
    "CheckResult",
    "CompletionRecord",
    "CompletionSink",
    "CursorExpiredError",
    "EmployeeRecord",
    "Employment",
    "EmploymentStatus",
    "ExternalError",
    "FatalError",
    "HrisConnector",
    "InputError",
    "NavLink",
    "NotAllowedError",
    "PlatformQuirks",
    "RetriableError",
    "RmError",
    "RosterPage",
    "SinkAnswer",
    "SinkServices",
    "SkippableRecordError",
    "SkippedRecord",
    "WebhookNotice",
    "WebhookReader",
    "hookimpl",
    "http",
    "read_scim_user",
]
