"""Every store of a workspace that lives in a database."""

from __future__ import annotations

from typing import Final

from maskloop.database.store import Store
from maskloop.ledger import sql_ledger
from monitoring.samples import correction_log, sample_log
from monitoring.sketches import sketch_log
from serving.access import sql_key_book
from serving.rollout import sql_pair_log
from serving.sampling import sql_quota_book

STORES: Final[tuple[Store, ...]] = (
    sql_ledger.STORE,
    sample_log.STORE,
    correction_log.STORE,
    sql_pair_log.STORE,
    sql_quota_book.STORE,
    sketch_log.STORE,
    sql_key_book.STORE,
)
