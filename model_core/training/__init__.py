"""Training of the embedding network and the detail encoder; the serving code never imports it."""
