"""Needs a package that is not installed."""
import torch
import my_labs_private_toolbox as toolbox

model = toolbox.build(torch.device("cpu"))
