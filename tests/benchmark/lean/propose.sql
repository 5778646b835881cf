\set number random(1, 4000000000000000000)
insert into lean.actions (payload)
values (jsonb_build_object('charge_id', 'ch_' || :number, 'amount_cents', 2500, 'note', repeat('n', 230)));
