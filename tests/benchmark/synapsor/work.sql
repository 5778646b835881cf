select
    coalesce(jsonb_agg(jsonb_build_object(
        'action_id', action_id, 'claim_token', claim_token, 'status', 'succeeded', 'provider_request_id', 're_1'
    )), '[]') as done,
    string_agg(intent, '') as payloads
from synapsor.claim_external_actions(:queue, :batch) \gset
select count(*) from synapsor.confirm_external_actions(:done::jsonb);
