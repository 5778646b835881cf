create or replace function synapsor._load_regex()
returns void
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
# A replaced function starts with an empty SD, as in _load_python.
if "loaded" in SD:
    return

# PostgreSQL's engine, unlike Python's, can be cancelled while it matches. In a replacement only a
# backslash means something.
matching = plpy.prepare("select $2 ~ $1 as matches", ["text", "text"])
replacing = plpy.prepare(
    r"select regexp_replace($2, $1, replace($3, '\', '\\'), 'gi') as replaced", ["text", "text", "text"]
)
GD["synapsor_regex"] = (
    lambda pattern, text: plpy.execute(matching, [pattern, text])[0]["matches"],
    lambda pattern, text, value: plpy.execute(replacing, [pattern, text, value])[0]["replaced"],
)
SD["loaded"] = True
$python$;

comment on function synapsor._load_regex() is
'Publishes matches(pattern, text) and replace(pattern, text, replacement) in GD["synapsor_regex"]: what the embedded
package asks of regular expressions.';
