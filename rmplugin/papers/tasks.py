"""What the public asks: whether a paper is valid, who the issuer is, which papers were revoked."""

import uuid
from typing import Any

from rmplugin.jobs import Runtime
from rmplugin.papers import keys, queries
from rmplugin.papers.models import Paper
from rmplugin.tenants.models import Tenant


def read_public(runtime: Runtime, paper_id: str) -> queries.Verified | None:
    """Say what anybody may know of a paper.

    :param paper_id: as it stands in the address.
    :return: None when there is none such.
    **Touches** reads paper, tenant.
    """
    try:
        wanted = uuid.UUID(paper_id)
    except ValueError:
        return None
    with runtime.database.unbound(write=False) as db:
        paper = db.get(Paper, wanted)
        if paper is None:
            return None
        return queries.Verified(
            state=paper.state,
            issuer=db.get_one(Tenant, paper.tenant_id).name,
            issued_at=paper.issued_at,
            revoked_at=paper.revoked_at,
            says=queries.shown(paper),
        )


def read_status_list(runtime: Runtime, tenant_id: uuid.UUID) -> dict[str, Any] | None:
    """Give a company's signed list of revoked papers; None when there is no such company.

    **Touches** reads tenant, paper, issuer_key; makes the key where there is none.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        if db.get(Tenant, tenant_id) is None:
            return None
        revoked = queries.revoked_places(db)
    return keys.issuer_of(runtime, tenant_id).list_revoked(revoked, runtime.clock())
