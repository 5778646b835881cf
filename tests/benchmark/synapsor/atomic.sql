-- There and back: two transitions.
\set number random(1, 10000)
select action_id, status
from synapsor.invoke_action(
    'billing.dispute_invoice',
    jsonb_build_object(
        'invoice_id', 'in_' || :number, 'target_state', 'disputed', 'amount_cents', 2500, 'note', repeat('n', 230)
    )
);
select action_id, status
from synapsor.invoke_action(
    'billing.dispute_invoice',
    jsonb_build_object(
        'invoice_id', 'in_' || :number, 'target_state', 'paid', 'amount_cents', 2500, 'note', repeat('n', 230)
    )
);
