-- What is asked of Oracle's catalogue. Names are bound as :owner and :name, spelled as the catalogue spells them.

-- name: scn_by_flashback
SELECT dbms_flashback.get_system_change_number FROM dual

-- name: scn_by_database
SELECT current_scn FROM v$database

-- name: scn_by_time
SELECT timestamp_to_scn(systimestamp) FROM dual

-- name: read_only
SET TRANSACTION READ ONLY

-- name: zone
ALTER SESSION SET TIME_ZONE = '+00:00'

-- name: calendar
ALTER SESSION SET NLS_CALENDAR = 'GREGORIAN'

-- name: comparison
ALTER SESSION SET NLS_COMP = 'BINARY' NLS_SORT = 'BINARY'

-- name: spellings
-- How a table is spelled: as it was given, else in capitals, as Oracle spells what was not quoted.
SELECT owner, object_name
FROM all_objects
WHERE (owner = :owner OR owner = UPPER(:owner)) AND (object_name = :name OR object_name = UPPER(:name))
  AND object_type IN ('TABLE', 'VIEW', 'MATERIALIZED VIEW')

-- name: columns
SELECT column_name, data_type, data_type_owner, data_length, char_length, char_used, data_precision, data_scale, nullable
FROM all_tab_cols
WHERE owner = :owner AND table_name = :name AND hidden_column = 'NO'
ORDER BY column_id

-- name: primary_key
SELECT k.column_name
FROM all_constraints c
JOIN all_cons_columns k ON k.owner = c.owner AND k.constraint_name = c.constraint_name
WHERE c.owner = :owner AND c.table_name = :name AND c.constraint_type = 'P'
ORDER BY k.position

-- name: tables
-- Without the tables that Oracle keeps for itself: nested ones, those of indexes, what lies in the recycle bin.
SELECT t.owner, t.table_name, 'table'
FROM all_tables t
WHERE t.nested = 'NO' AND t.secondary = 'N' AND t.dropped = 'NO'
  AND t.owner IN (SELECT username FROM all_users WHERE oracle_maintained = 'N')
UNION ALL
SELECT v.owner, v.view_name, 'view'
FROM all_views v
WHERE v.owner IN (SELECT username FROM all_users WHERE oracle_maintained = 'N')
ORDER BY 1, 2
