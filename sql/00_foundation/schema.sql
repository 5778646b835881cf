create schema synapsor;

comment on schema synapsor is
'Governed side effects: contracts, sessions, approvals, deliveries and their evidence. Only the
functions and views documented here are an interface; tables and names that begin with an
underscore are private.';

-- Usage reveals no row: every object carries its own rights. The three session functions and the
-- catalogue of error codes are for everybody.
grant usage on schema synapsor to public;
