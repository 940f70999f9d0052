-- Where a tenant could see another's rows past the gateway, and where row level security costs more than it has to.
-- Reads only. One line for each finding; none is good.
--
--   psql "$DATABASE_URL" -f row_security.sql
--   … -v schema=app -v tenant=organization_id
\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema public
\endif
\if :{?tenant}
\else
    \set tenant company_id
\endif
\pset format unaligned
\pset tuples_only on
\pset fieldsep ': '

WITH tables AS (
    SELECT c.oid, c.relname, c.relrowsecurity
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = :'tenant' AND NOT a.attisdropped
    WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p')
),
policies AS (
    SELECT tablename, policyname, roles, coalesce(qual, '') || ' ' || coalesce(with_check, '') AS words
    FROM pg_policies WHERE schemaname = :'schema'
)
SELECT relname, finding FROM (
    SELECT 1 AS step, relname, 'row level security is off: whoever has the public key reads every ' || :'tenant' AS finding
    FROM tables WHERE NOT relrowsecurity
    UNION ALL
    SELECT 2, relname, 'row level security is on, and no policy lets anybody in'
    FROM tables WHERE relrowsecurity AND NOT EXISTS (SELECT FROM policies WHERE tablename = relname)
    UNION ALL
    SELECT 3, tablename, format('the policy %I trusts user_metadata, which users edit themselves', policyname)
    FROM policies WHERE words LIKE '%user_metadata%'
    UNION ALL
    -- PostgreSQL prints a wrapped call as ( SELECT auth.uid() AS uid).
    SELECT 4, tablename, format('the policy %I calls auth.%s() for each row: write (select auth.%s())', policyname, found[1], found[1])
    FROM policies,
        LATERAL regexp_matches(
            regexp_replace(words, '\(\s*SELECT\s+[^()]*auth\.\w+\(\)', '', 'gi'), 'auth\.(uid|jwt|role|email)\(\)', 'g'
        ) AS found
    UNION ALL
    SELECT 5, tablename, format('the policy %I is for everybody: name its roles (TO authenticated)', policyname)
    FROM policies WHERE roles = '{public}'
) AS findings
GROUP BY step, relname, finding
ORDER BY step, relname, finding;
