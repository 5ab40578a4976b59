"""The `wplus` command; the work is done by the modules of `service` and `model_core`."""
