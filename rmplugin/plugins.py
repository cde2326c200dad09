"""Finding plug-ins, asking them one at a time. The manager belongs to the app, never to a module."""

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any

import pluggy
import structlog

from rmplugin import hookspecs
from rmplugin.errors import ConfigError, InputError, NotFoundError
from rmplugin.notifiers import MailNotifier, NewsNotifier
from rmplugin.policies import CreditPolicy
from rmplugin.records import HrisConnector, MatchCriterion, PlatformQuirks, SettingTopic
from rmplugin.sinks import CompletionSink, CreditSink, PaperSink
from rmplugin.texts import Text

log = structlog.get_logger()

# The family that keeps to the standard; its dialect has words for every setting.
STANDARD = "generic"


class Plugins:
    """The plug-ins of one app.

    :param extra: plug-in objects that no entry point names, for tests.
    :raises ConfigError: a plug-in cannot be loaded, misspells a hook, or brings a key twice.
    """

    def __init__(self, extra: Iterable[Any] = ()) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for point in entry_points(group=hookspecs.PROJECT):
            try:
                self._manager.register(point.load(), point.name)
            except Exception as error:
                raise ConfigError([f"The plug-in {point.name} cannot be loaded: {error!r}."]) from error
        for plugin in extra:
            self._manager.register(plugin)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise ConfigError([f"A plug-in names a hook that does not exist: {error}."]) from error
        self.connectors: dict[str, HrisConnector] = _keyed(self.gather("rm_register_hris_connectors"))
        self.policies: dict[str, CreditPolicy] = _keyed(self.gather("rm_register_credit_policies"))
        sinks = _keyed(self.gather("rm_register_completion_sinks"))
        self.sinks: dict[str, CompletionSink] = _of(CompletionSink, sinks)
        self.credit_sinks: dict[str, CreditSink] = _of(CreditSink, sinks)
        self.papers: dict[str, PaperSink] = _of(PaperSink, sinks)
        self.quirks: dict[str, PlatformQuirks] = _keyed(self.gather("rm_register_platform_quirks"))
        self.criteria: dict[str, MatchCriterion] = _keyed(self.gather("rm_register_match_criteria"))
        notifiers = _keyed(self.gather("rm_register_notifiers"))
        self.mailers = [one for one in notifiers.values() if isinstance(one, MailNotifier)]
        self.news: dict[str, NewsNotifier] = _of(NewsNotifier, notifiers)
        if STANDARD not in self.quirks:
            raise ConfigError(
                [f"No plug-in brings the platform dialect '{STANDARD}': install the tool anew."]
            )
        self._families = {
            _plain(word): quirks
            for quirks in self.quirks.values()
            for word in (*quirks.product_codes, quirks.key)
        }

    def gather(self, hook: str, **given: Any) -> Iterator[Any]:
        """Ask every plug-in for what it brings.

        :param hook: name of a registration hook.
        :param given: what the hook hands to the plug-in.
        :return: the objects of all plug-ins, one after the other.
        """
        for _name, implementation in self._implementations(hook):
            yield from implementation(**given) or ()

    def hears(self, hook: str) -> bool:
        """Tell whether any plug-in listens to a notification hook."""
        return any(True for _one in self._implementations(hook))

    def tell(self, hook: str, **facts: Any) -> None:
        """Tell every plug-in; one that raises is logged by name and stops no other.

        :param hook: name of a notification hook.
        """
        for name, implementation in self._implementations(hook):
            try:
                implementation(**facts)
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the others must hear too.
                log.error("plugin_failed", plugin=name, hook=hook, error=type(error).__name__)

    def connector(self, key: str) -> HrisConnector:
        """Give a connector by its key.

        :raises NotFoundError: no plug-in brings it.
        """
        if key not in self.connectors:
            raise NotFoundError(f"HR connector '{key}' (known: {', '.join(sorted(self.connectors))})")
        return self.connectors[key]

    def check_policy(self, key: str) -> None:
        """Check that a plug-in brings a credit policy.

        :raises InputError: none does; `details` says so for the field ``policy``.
        """
        if key not in self.policies:
            known = ", ".join(sorted(self.policies))
            said = Text("There is no credit policy '%(key)s' (known: %(known)s).", key=key, known=known)
            raise InputError("unknown_policy", said, {"policy": said})

    def credit_sink(self, key: str) -> CreditSink:
        """Give a sink for events by its key.

        :raises NotFoundError: no plug-in brings it.
        """
        if key not in self.credit_sinks:
            known = ", ".join(sorted(self.credit_sinks)) or "none"
            raise NotFoundError(f"system for credits '{key}' (known: {known})")
        return self.credit_sinks[key]

    def mailer(self, url: str | None) -> MailNotifier | None:
        """Give what takes letters to people; None when no mail is wanted.

        :param url: the setting `RM_SMTP_URL`.
        :raises ConfigError: no plug-in takes addresses of that kind.
        """
        if url is None:
            return None
        scheme = url.partition(":")[0].lower()
        for mailer in self.mailers:
            if scheme in mailer.schemes:
                return mailer
        known = ", ".join(sorted(scheme for mailer in self.mailers for scheme in mailer.schemes))
        raise ConfigError([f"RM_SMTP_URL begins with {scheme}:, which no plug-in takes (known: {known})."])

    def quirks_of(self, code: str | None) -> PlatformQuirks:
        """Give the dialect of a family of learning platforms; an unknown one keeps to the standard.

        :param code: key of the family, or a platform's `product_family_code`; None when it says none.
        """
        return self._families.get(_plain(code or ""), self.quirks[STANDARD])

    def setting(self, quirks: PlatformQuirks, topic: SettingTopic) -> str:
        """Give the sentence that names the setting to change; general words where the dialect has none."""
        return quirks.settings.get(topic) or self.quirks[STANDARD].settings[topic]

    def _implementations(self, hook: str) -> Iterator[tuple[str, Any]]:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():

            def ask(implementation: pluggy.HookImpl = implementation, **facts: Any) -> Any:
                return implementation.function(*(facts[name] for name in implementation.argnames))

            yield implementation.plugin_name, ask


def _keyed(objects: Iterator[Any]) -> dict[str, Any]:
    keyed: dict[str, Any] = {}
    for thing in objects:
        if thing.key in keyed:
            raise ConfigError([f"Two plug-ins bring '{thing.key}'."])
        keyed[thing.key] = thing
    return keyed


def _of(shape: type, things: dict[str, Any]) -> dict[str, Any]:
    return {key: thing for key, thing in things.items() if isinstance(thing, shape)}


def _plain(word: str) -> str:
    return "".join(filter(str.isalnum, word.lower()))
