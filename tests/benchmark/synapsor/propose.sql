\set number random(1, 4000000000000000000)
select action_id, status
from synapsor.propose_external_action(
    'billing.issue_refund',
    jsonb_build_object('charge_id', 'ch_' || :number, 'amount_cents', 2500, 'note', repeat('n', 230))
);
