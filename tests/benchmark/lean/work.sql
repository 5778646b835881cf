with claimed as (
    update lean.actions as action
    set state = 'claimed'
    where action.id = any(array(
        select ready.id from lean.actions as ready
        where ready.state = 'ready'
        order by ready.id
        limit :batch
        for update skip locked
    ))
    returning action.id, action.payload
)
select array_agg(id) as done, string_agg(payload::text, '') as payloads from claimed \gset
delete from lean.actions where id = any(:done::bigint []);
