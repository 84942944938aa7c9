"""Everything that is broken on purpose."""

from torture.faults import crowds, database, network, processes
from torture.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (*processes.FAULTS, *database.FAULTS, *network.FAULTS, *crowds.FAULTS)
