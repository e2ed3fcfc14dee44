"""Mean teacher: a second model is the average of the first and is called in every step."""
import copy

import torch
from torch import nn

student = nn.Sequential(nn.Linear(30, 60), nn.ReLU(), nn.Linear(60, 6))
teacher = copy.deepcopy(student).requires_grad_(False).eval()
optimizer = torch.optim.SGD(student.parameters(), lr=0.03, momentum=0.9)
for step in range(300):
    labelled, unlabelled = torch.randn(16, 30), torch.randn(32, 30)
    with torch.no_grad():
        target = teacher(unlabelled + 0.1 * torch.randn_like(unlabelled)).softmax(1)
    supervised = nn.functional.cross_entropy(student(labelled), labelled[:, :6].argmax(1))
    consistent = (student(unlabelled).softmax(1) - target).square().mean()
    optimizer.zero_grad()
    (supervised + consistent).backward()
    optimizer.step()
    with torch.no_grad():
        for t, s in zip(teacher.parameters(), student.parameters()):
            t.lerp_(s, 0.01)
