"""Containers of tensors: PyTorch's archives and restricted pickles."""
