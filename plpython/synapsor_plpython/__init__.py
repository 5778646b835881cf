"""Pure decisions of the extension: JSON text in, JSON text or values out.

Every module here is plain Python 3.11, standard library only: no database, no clock, no
randomness, no input or output. The sources are embedded into the extension script at build time
and imported once per database session; the same files are tested without a database.
Python computes, PL/pgSQL decides and raises: a check returns what it found, its caller turns that
into SQLSTATEs.
"""
