"""The parts of bench/heap: who is compared, how a run is measured, what is measured, how it is printed."""
