"""For authors of connectors and sinks: contracts that each keeps, and a server for stand-ins that can fail.

Derive a test class from `ConnectorContract`, give it a fixture `source` that makes a `ContractSource`, and
run pytest; or from `CreditSinkContract`, with a fixture `target` that makes a `ContractTarget`. What comes
with the tool is held to the same contracts.
"""

from rmplugin.testing.rosters import ConnectorContract, ContractSource, check_record, make_people, read_all
from rmplugin.testing.servers import FAMILY_NAME, FAULTS, MAIL_DOMAIN, Asked, FaultyServer, caught
from rmplugin.testing.sinks import ContractTarget, CreditSinkContract, hand_over, make_records, take_back

__all__ = [
    "FAMILY_NAME",
    "FAULTS",
    "MAIL_DOMAIN",
    "Asked",
    "ConnectorContract",
    "ContractSource",
    "ContractTarget",
    "CreditSinkContract",
    "FaultyServer",
    "caught",
    "check_record",
    "hand_over",
    "make_people",
    "make_records",
    "read_all",
    "take_back",
]
