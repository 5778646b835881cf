\set number random(1, 4000000000000000000)
insert into lean.actions (payload)
select jsonb_build_object('charge_id', 'ch_' || :number || '_' || i, 'amount_cents', 2500, 'note', repeat('n', 230))
from generate_series(1, :batch) as i;
