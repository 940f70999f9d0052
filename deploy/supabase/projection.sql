-- Copies the ledger's rows into an existing public.ai_usage of the same database, as well as that table takes them.
--
-- Run once, as the ledger's owner; again after an upgrade. Then call sluicegate.project_usage() every minute or so
-- (README.md). It never touches the ledger, and the ledger never waits for it.

-- A UUID where the text is one, with or without hyphens; else NULL.
CREATE OR REPLACE FUNCTION sluicegate.uuid_or_null(word text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT CASE
        WHEN word ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$' THEN word::uuid
    END
$$;

-- What was copied, and at which revision: a correction is copied again, a row that was refused is tried again only then.
CREATE TABLE IF NOT EXISTS sluicegate.projected_usage (
    id text PRIMARY KEY,
    rev integer NOT NULL,
    created_at timestamptz NOT NULL,
    refused text  -- the SQLSTATE for which public.ai_usage did not take it
);

-- Copies what was settled in the last `since` and is not there yet, at most `most` rows, the oldest first.
-- A row that public.ai_usage refuses (a user who is gone, a name that is too long) is left out and remembered.
CREATE OR REPLACE FUNCTION sluicegate.project_usage(
    since interval DEFAULT '2 days', most integer DEFAULT 10000, OUT copied integer, OUT refused integer
)
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    one record;
    failed text;
BEGIN
    copied := 0;
    refused := 0;
    -- Two at once would copy the same rows: the second leaves.
    IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('sluicegate.project_usage')) THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT u.*
        FROM sluicegate.ai_usage u
        LEFT JOIN sluicegate.projected_usage p ON p.id = u.id
        WHERE u.created_at >= pg_catalog.now() - since - interval '2 days'
            AND u.settled_at >= pg_catalog.now() - since
            AND u.kind = 'usage'
            AND (p.id IS NULL OR p.rev < u.rev)
        ORDER BY u.settled_at
        LIMIT most
    LOOP
        failed := NULL;
        BEGIN
            INSERT INTO public.ai_usage AS t (
                id, user_id, company_id, model, endpoint, input_tokens, output_tokens, cost_usd, subscription_tier,
                created_at
            ) VALUES (
                -- An id that is none becomes one, always the same.
                coalesce(sluicegate.uuid_or_null(one.id), pg_catalog.md5(one.id)::uuid),
                sluicegate.uuid_or_null(one.user_id), sluicegate.uuid_or_null(one.company_id), one.model, one.endpoint,
                one.input_tokens, one.output_tokens, one.cost_usd, one.subscription_tier, one.created_at
            )
            ON CONFLICT (id) DO UPDATE SET
                input_tokens = excluded.input_tokens,
                output_tokens = excluded.output_tokens,
                cost_usd = excluded.cost_usd;
            copied := copied + 1;
        EXCEPTION WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded THEN
            failed := SQLSTATE;
            refused := refused + 1;
        END;
        INSERT INTO sluicegate.projected_usage (id, rev, created_at, refused)
        VALUES (one.id, one.rev, one.created_at, failed)
        ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, refused = excluded.refused;
    END LOOP;
    -- What lies before the window is never looked at again.
    DELETE FROM sluicegate.projected_usage p
    WHERE p.created_at < pg_catalog.now() - since - interval '5 days';
END
$$;

REVOKE ALL ON FUNCTION sluicegate.project_usage(interval, integer) FROM PUBLIC;
