"""Bills the calls beside turns whose process has gone, once each, with the most that they can have used."""

from domain.ids import TenantId
from domain.metering import Tally
from storage.postgres.database import Transaction
from storage.postgres.ledger import Ledger
from storage.postgres.open_calls import LostCall, OpenCalls


async def bill_lost(tx: Transaction, tenant_id: TenantId, epoch: int) -> list[LostCall]:
    """`epoch` is that of whoever has the tenant. What is returned is in the ledger once the transaction is."""
    lost = await OpenCalls(tx, tenant_id).take_lost(epoch)
    for one in lost:
        tally = Tally()
        tally.add(one.call)
        await Ledger(tx).record_beside(tenant_id, one.chatbot_id, one.kind, tally, turn_id=one.id)
    return lost
