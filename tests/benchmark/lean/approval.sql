\set number random(1, 4000000000000000000)
insert into lean.actions (state, payload)
values ('proposed', jsonb_build_object('charge_id', 'ch_' || :number, 'amount_cents', 2500, 'note', repeat('n', 230)))
returning id as proposed \gset
with verdict as (insert into lean.approvals (action_id, reviewer) values (:proposed, 'rita'))
update lean.actions set state = 'ready' where id = :proposed;
