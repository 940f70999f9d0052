-- Puts a user's companies and their tiers into the access token, where the gateway reads them (config.example.yaml:
-- identity.claims). Run it once, then choose sluicegate.access_token_hook under Authentication → Hooks → Custom Access
-- Token. A token holds until it expires: whoever is thrown out of a company leaves with the next one (an hour by default).
--
-- Before that, say where your app keeps it, as a view; one row for each user and company:
--
--   CREATE SCHEMA IF NOT EXISTS sluicegate;
--   CREATE VIEW sluicegate.memberships AS
--       SELECT m.user_id, m.company_id, c.subscription_tier AS tier, m.is_default AS preferred, m.created_at AS since
--       FROM public.company_members m JOIN public.companies c ON c.id = m.company_id;

CREATE SCHEMA IF NOT EXISTS sluicegate;

-- In: {user_id, claims, …}. Out: the same, with claims.app_metadata.{company_id, company_ids, subscription_tier}: the
-- preferred company, all of them, and the tier of each by its id, so that whoever acts for another has that one's.
-- Whoever belongs to no company gets none of the three, also where an older token or an admin's hand had set them.
CREATE OR REPLACE FUNCTION sluicegate.access_token_hook(event jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    companies text[];
    tiers jsonb;
    told jsonb := coalesce(event #> '{claims,app_metadata}', '{}') - ARRAY['company_id', 'company_ids', 'subscription_tier'];
BEGIN
    SELECT pg_catalog.array_agg(m.company_id::text ORDER BY m.preferred DESC, m.since, m.company_id),
        pg_catalog.jsonb_object_agg(m.company_id::text, m.tier::text)
    INTO companies, tiers
    FROM sluicegate.memberships m
    WHERE m.user_id = (event ->> 'user_id')::uuid;
    IF companies IS NOT NULL THEN
        told := told || pg_catalog.jsonb_build_object(
            'company_id', companies[1], 'company_ids', companies, 'subscription_tier', tiers
        );
    END IF;
    RETURN pg_catalog.jsonb_set(event, '{claims,app_metadata}', told);
END
$$;

REVOKE ALL ON FUNCTION sluicegate.access_token_hook(jsonb) FROM PUBLIC;
GRANT USAGE ON SCHEMA sluicegate TO supabase_auth_admin;
GRANT EXECUTE ON FUNCTION sluicegate.access_token_hook(jsonb) TO supabase_auth_admin;
