"""``python -m synapsor_pg`` is the command ``synapsor-pg``."""

from synapsor_pg.cli import main

if __name__ == "__main__":
    main()
