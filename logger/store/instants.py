"""How instants are written in a file, where plain SQL writes any text: rows lie in the order of these texts.

``2026-03-29T01:00:00`` comes after all of that day that is written ``2026-03-29 01:00:00``, as the collector writes it.
"""

from sqlalchemy import Connection, Table

from logger.store.database import backend
from logger.store.models import BATTERY_SAMPLES, INVERTER_SAMPLES, POLLS, SITE_STATES, STORAGE_SAMPLES
from logger.store.phase_samples import TABLE as PHASE_SAMPLES
from logger.store.phase_samples import VIEWS

_TIMES: dict[Table, str] = dict.fromkeys((POLLS, PHASE_SAMPLES, BATTERY_SAMPLES, STORAGE_SAMPLES), "polled_at")
_TIMES |= {INVERTER_SAMPLES: "reported_at", SITE_STATES: "at"}
#: Whether a gateway's instant is written in another way; text that is no instant is not.
_IS_ODD = "length({at}) <> 19 OR substr({at}, 11, 1) <> ' '"
_LOOK = "SELECT 1 FROM {table} WHERE gateway_id = ? AND ({odd}) AND strftime('%s', {at}) IS NOT NULL LIMIT 1"
#: A row stays as it is where another one lies at its instant.
_WRITE = """
UPDATE OR IGNORE {table} SET {at} = strftime('%Y-%m-%d %H:%M:%S', {at})
WHERE gateway_id = ? AND ({odd}) AND strftime('%s', {at}) IS NOT NULL
"""


def write_alike(connection: Connection, gateway_id: int) -> None:
    """Write a gateway's instants as the collector does; what is none stays. A server keeps instants, and no texts."""
    if not backend(connection).INSTANTS_ARE_TEXT:
        return
    for table, at in _TIMES.items():
        odd = _IS_ODD.format(at=at)
        look = _LOOK.format(table=table.name, at=at, odd=odd)
        if connection.exec_driver_sql(look, (gateway_id,)).first() is not None:
            # What belongs together may be written in two ways: the views put it together.
            for written in VIEWS if table is PHASE_SAMPLES else (table,):
                connection.exec_driver_sql(_WRITE.format(table=written.name, at=at, odd=odd), (gateway_id,))
