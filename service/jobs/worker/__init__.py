"""The process that refines: one job at a time on one device, no fork."""
