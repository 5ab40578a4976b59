"""The embedding network and its parts."""
