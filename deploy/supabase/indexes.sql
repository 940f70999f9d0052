-- The indexes that an app's own tables lack, as statements that create them without holding up writes.
--
--   psql "$DATABASE_URL" -f indexes.sql                   prints them, the largest table first
--   psql "$DATABASE_URL" -v apply=1 -f indexes.sql        runs them, one by one
--   … -v schema=app -v tenant=organization_id             other names than public and company_id
--
-- A session that may last: the direct connection or the session pooler, not the transaction pooler. Of a partitioned
-- table its partitions are listed. Nothing is dropped but indexes that an interrupted run left invalid.
\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema public
\endif
\if :{?tenant}
\else
    \set tenant company_id
\endif
\if :{?apply}
\else
    \set apply 0
\endif
SET client_min_messages = warning;
SET statement_timeout = 0;

CREATE TEMPORARY VIEW wanted_indexes AS
WITH tables AS (
    SELECT c.oid, n.nspname, c.relname, pg_total_relation_size(c.oid) AS bytes
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :'schema' AND c.relkind = 'r'
),
-- Of each column, its number; of each index that finds every row, its columns in order.
columns AS (
    SELECT attrelid, attname, attnum FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
),
whole AS (
    SELECT indrelid, string_to_array(indkey::text, ' ')::smallint[] AS keys
    FROM pg_index
    JOIN pg_class c ON c.oid = indexrelid
    JOIN pg_am ON pg_am.oid = c.relam AND amname = 'btree'
    WHERE indisvalid AND indpred IS NULL
),
-- 1. One company's rows among all: what every row level policy and every page of the app looks for, the latest first.
by_tenant AS (
    SELECT t.*, ARRAY[tenant.attnum] AS needed,
        'rows of one ' || :'tenant' AS why,
        CASE WHEN created.attnum IS NULL THEN format('%I', tenant.attname)
            ELSE format('%I, %I DESC', tenant.attname, created.attname) END AS words,
        concat_ws('_', t.relname, tenant.attname, created.attname) AS name
    FROM tables t
    JOIN columns tenant ON tenant.attrelid = t.oid AND tenant.attname = :'tenant'
    LEFT JOIN columns created ON created.attrelid = t.oid AND created.attname = 'created_at'
),
-- 2. Foreign keys: without an index each row that is deleted over there reads this whole table.
by_reference AS (
    SELECT t.*, k.conkey AS needed,
        'rows that refer to ' || k.confrelid::regclass AS why,
        (SELECT string_agg(format('%I', c.attname), ', ' ORDER BY at.place)
            FROM unnest(k.conkey) WITH ORDINALITY AS at (number, place)
            JOIN columns c ON c.attrelid = t.oid AND c.attnum = at.number) AS words,
        t.relname || '_' || (SELECT string_agg(c.attname, '_' ORDER BY at.place)
            FROM unnest(k.conkey) WITH ORDINALITY AS at (number, place)
            JOIN columns c ON c.attrelid = t.oid AND c.attnum = at.number) AS name
    FROM tables t
    JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
    WHERE NOT EXISTS (
        SELECT FROM columns c WHERE c.attrelid = t.oid AND ARRAY[c.attnum] = k.conkey AND c.attname = :'tenant'
    )
),
missing AS (
    SELECT DISTINCT ON (oid, words) *
    FROM (SELECT * FROM by_tenant UNION ALL SELECT * FROM by_reference) AS every
    WHERE NOT EXISTS (
        SELECT FROM whole
        WHERE whole.indrelid = oid
            -- In whatever order: an index serves as long as it begins with these columns.
            AND whole.keys[1:cardinality(needed)] @> needed AND needed @> whole.keys[1:cardinality(needed)]
    )
    ORDER BY oid, words, why
),
broken AS (
    SELECT t.*, i.indexrelid
    FROM tables t
    JOIN pg_index i ON i.indrelid = t.oid AND NOT i.indisvalid
    WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = i.indexrelid AND c.relname LIKE '%\_gwidx')
)
SELECT 1 AS step, bytes, relname, 'left invalid by an interrupted run' AS why,
    format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass) AS statement
FROM broken
UNION ALL
SELECT 2, bytes, relname, why,
    -- A name has 63 bytes; the sum keeps cut ones apart.
    format('CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON %I.%I (%s)',
        left(name, 44) || '_' || left(md5(name), 6) || '_gwidx', nspname, relname, words)
FROM missing;

\if :apply
    \set ECHO queries
    SELECT statement FROM wanted_indexes ORDER BY step, bytes DESC, statement
    \gexec
\else
    \pset format unaligned
    \pset tuples_only on
    \pset fieldsep ''
    SELECT statement || ';', '  -- ' || why || ', ' || pg_size_pretty(bytes)
    FROM wanted_indexes ORDER BY step, bytes DESC, statement;
\endif
