"""A browser without JavaScript for page tests: fills in and sends the forms that it is shown."""

from __future__ import annotations

import html
import re
import uuid
from html.parser import HTMLParser
from typing import Any

from rmplugin import logins, web


class _Forms(HTMLParser):
    """Collects every form of a page with the values that a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self._select: str | None = None
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        got = dict(attrs)
        if tag == "form":
            self.forms.append(
                {"action": got.get("action", ""), "fields": {}, "method": got.get("method", "get")}
            )
        if not self.forms:
            return
        fields = self.forms[-1]["fields"]
        name = got.get("name")
        if tag == "input" and name:
            if got.get("type") in ("radio", "checkbox"):
                if "checked" in got:
                    fields.setdefault(name, []).append(got.get("value", "on"))
            else:
                fields.setdefault(name, []).append(got.get("value") or "")
        elif tag == "select" and name:
            self._select = name
        elif tag == "option" and self._select:
            chosen = fields.setdefault(self._select, [])
            if "selected" in got or not chosen:
                fields[self._select] = [got.get("value") or ""]
        elif tag == "textarea" and name:
            self._area = name
            fields[name] = [""]

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area and self.forms:
            self.forms[-1]["fields"][self._area][0] += data


class Browser:
    """One signed-in browser; ``text`` and ``status`` are of the last answer."""

    def __init__(self, client, token: str) -> None:
        self.client = client
        self.token = token
        self.status = 0
        self.text = ""
        self.path = ""

    @classmethod
    def signed_in(
        cls, app, runtime, tenant, person, manager, context, lti_user, now, *, administrator=False
    ) -> Browser:
        with app.app_context(), runtime.database.transaction(None) as db:
            facts = {
                "tenant_id": tenant.id,
                "lti_user_id": lti_user.id if lti_user else None if administrator else uuid.uuid4(),
                "person_id": person.id if person else None,
                "context_id": context.id if context else None,
                "is_manager": manager,
                "is_administrator": administrator,
                "start_path": None,
                "locale": None,
                "display_name": person.display_name if person else "Manager",
                "frame_origins": ["http://127.0.0.1:5001"],
            }
            code = logins.open_session(db, facts, now, secret_key=str(app.secret_key))
            _session, token = logins.take_entry(db, code, now, secret_key=str(app.secret_key))
        return cls(app.test_client(), token)

    def get(self, path: str, **options: Any) -> Browser:
        return self._keep(
            self.client.get(path, headers={web.HTTP_HEADER: self.token}, follow_redirects=True, **options)
        )

    def post(self, path: str, _once: str | None = None, **fields: Any) -> Browser:
        """Post a form directly, with the hidden fields that every form has."""
        hidden = {web.TOKEN_FIELD: self.token, web.ONCE_FIELD: _once or uuid.uuid4().hex}
        return self._keep(
            self.client.post(
                path, data={**fields, **hidden}, headers={web.HTTP_HEADER: self.token}, follow_redirects=True
            )
        )

    def submit(self, action: str, **fields: Any) -> Browser:
        """Fill in the form on the page whose target contains ``action`` and send it.

        :raises AssertionError: the page has no such form.
        """
        forms = [form for form in self.forms() if action in form["action"]]
        assert forms, f"no form to {action!r} on {self.path}: {[form['action'] for form in self.forms()]}"
        values = dict(forms[0]["fields"])
        values.update(fields)
        return self._keep(
            self.client.post(
                forms[0]["action"], data=values, headers={web.HTTP_HEADER: self.token}, follow_redirects=True
            )
        )

    def forms(self) -> list[dict[str, Any]]:
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    def says(self) -> str:
        """Give the page's words without markup."""
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", self.text)))

    def _keep(self, response) -> Browser:
        self.status = response.status_code
        self.text = response.get_data(as_text=True)
        self.path = response.request.path
        self.headers = response.headers
        return self
