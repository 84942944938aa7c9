"""The faults: everything that is broken on purpose."""

from torture.faults import crowds, database, machine, network, processes
from torture.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (*processes.FAULTS, *database.FAULTS, *network.FAULTS, *crowds.FAULTS, *machine.FAULTS)


def possible_faults() -> tuple[Fault, ...]:
    """The faults that are possible on this machine."""
    return tuple(fault for fault in FAULTS if fault.possible())
