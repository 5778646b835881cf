create type synapsor.node_result as (
    has_ended boolean,
    status text,
    exit_data jsonb,
    exit_code integer,
    message text,
    pid integer,
    waits_for text
);

comment on type synapsor.node_result is
'What came of a node''s handler so far: its status, and where it has not ended, what it waits for.';
