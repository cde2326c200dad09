"""Open edX as the platform of a test: the LTI consumer of Open edX behind a small Django site.

The package `lti-consumer-xblock` is AGPL: it runs in a process of its own, `python -m tests.fakes.openedx`,
and only the modules of that process import it. A test imports `tests.fakes.openedx.client` and nothing else.
"""
