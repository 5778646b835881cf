create or replace function synapsor._load_python()
returns void
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
# A replaced function starts with an empty SD: an open session reloads right after an update.
if "loaded" in SD:
    return

# No importlib.abc, whose own imports take longer than all of ours.
import importlib.machinery
import sys

package = "synapsor_plpython"
sources = {}  # assembly: the sources that every proposal needs


class EmbeddedPackage:
    synapsor = True
    is_complete = False

    def find_spec(self, name, path=None, target=None):
        if name != package and not name.startswith(package + "."):
            return None
        if name not in sources and not self.is_complete:
            # Python reads a function whole: what few connections need is in another one.
            plpy.execute("select synapsor._load_python_sources()")
            sources.update(GD.pop("synapsor_python_sources"))
            self.is_complete = True
        if name not in sources:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name == package)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        exec(compile(sources[name], f"<{name}>", "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name):
        return sources[name]


class Modules(dict):
    # Imported when first asked for: a session that only claims never compiles the rest.
    def __missing__(self, name):
        __import__(f"{package}.{name}")
        module = self[name] = sys.modules[f"{package}.{name}"]
        return module


for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
    del sys.modules[name]
# Ours comes first: no file on the server's path may stand in for an embedded module.
sys.meta_path[:] = [
    EmbeddedPackage(),
    *(finder for finder in sys.meta_path if not getattr(finder, "synapsor", False)),
]
GD["synapsor_python"] = Modules()
SD["loaded"] = True
$python$;

comment on function synapsor._load_python() is
'Publishes the embedded Python package of this version in GD["synapsor_python"].';

create or replace function synapsor._load_python_sources()
returns void
language plpython3u
set search_path = pg_catalog, pg_temp
as $python$
GD["synapsor_python_sources"] = {}  # assembly: the sources of plpython/synapsor_plpython
$python$;

comment on function synapsor._load_python_sources() is
'Leaves the source of every embedded module in GD["synapsor_python_sources"].';
