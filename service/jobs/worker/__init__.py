"""The refine worker: one job at a time on one device, without forking."""
