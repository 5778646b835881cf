\set number random(1, 4000000000000000000)
select action_id as proposed
from synapsor.propose_external_action(
    'billing.big_refund',
    jsonb_build_object('charge_id', 'ch_' || :number, 'amount_cents', 2500, 'note', repeat('n', 230))
) \gset
select status from synapsor.approve_external_action(:proposed);
