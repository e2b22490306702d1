"""Views that somebody made of ours, on PostgreSQL: ours can't be made anew while they are there."""

import contextlib
from collections.abc import Iterator
from functools import partial

from sqlalchemy import Connection

#: somebody's views of our tables and views, which a version knows by its dictionary; with who may do what with them
_OTHERS_VIEWS = """
WITH RECURSIVE own AS (
    SELECT to_regclass(quote_ident(name))::oid AS oid FROM (SELECT DISTINCT "table" AS name FROM data_dictionary) AS t
), dependent AS (
    SELECT oid FROM own
    UNION SELECT ev_class FROM dependent
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = dependent.oid
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
)
SELECT oid::regclass::text AS name, pg_get_viewdef(oid) AS text, pg_get_userbyid(relowner) = current_user AS is_free,
    ARRAY(
        SELECT privilege_type || ' ON ' || oid::regclass || ' TO '
            || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM aclexplode(relacl)
    ) AS rights
FROM pg_class JOIN dependent USING (oid)
WHERE relkind = 'v' AND oid NOT IN (SELECT oid FROM own WHERE oid IS NOT NULL) ORDER BY oid
"""


@contextlib.contextmanager
def others_views_kept(connection: Connection) -> Iterator[None]:
    """Take away views that somebody made of ours, and put them back with their rights: ours may be made anew.

    Where one of them is another user's, all stay.
    """
    run = partial(connection.exec_driver_sql, execution_options={"no_parameters": True})
    is_ours = run("SELECT to_regclass('data_dictionary')").scalar_one() is not None
    views = run(_OTHERS_VIEWS).all() if is_ours else []
    views = views if all(view.is_free for view in views) else []
    if views:
        run(f"DROP VIEW {', '.join(view.name for view in views)}")
    yield
    for view in views:
        run(f"CREATE VIEW {view.name} AS {view.text}")
        for right in view.rights:
            run(f"GRANT {right}")
