"""The transfer-learning tutorial: phases train and val in turn, the best weights kept as a deep copy, four workers."""
import copy
import time

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from PIL import Image
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset


class Insects(Dataset):
    def __init__(self, n, train):
        rng = np.random.default_rng(int(train))
        self.kinds = rng.integers(0, 2, n)
        self.files = [Image.fromarray(rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)).resize((400, 300), Image.BILINEAR) for _ in range(n)]
        self.train = train

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        picture = self.files[i].resize((112, 112), Image.BILINEAR)
        if self.train and torch.rand(()) < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        return (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255 - 0.45) / 0.225, int(self.kinds[i])


def stage(a, b, stride):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True), nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True))


dataloaders = {phase: DataLoader(Insects(n, phase == "train"), batch_size=4, shuffle=True, num_workers=4) for phase, n in (("train", 244), ("val", 153))}
dataset_sizes = {"train": 244, "val": 153}


def train_model(model, criterion, optimizer, scheduler, num_epochs):
    since, best_acc = time.time(), 0.0
    best_model_wts = copy.deepcopy(model.state_dict())
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            model.train() if phase == "train" else model.eval()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in dataloaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()
            epoch_acc = running_corrects.double() / dataset_sizes[phase]
            print(f"{epoch} {phase} Loss: {running_loss / dataset_sizes[phase]:.4f} Acc: {epoch_acc:.4f}", flush=True)
            if phase == "val" and epoch_acc > best_acc:
                best_acc = epoch_acc
                best_model_wts = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_model_wts)
    print(f"Training complete in {time.time() - since:.0f}s, best {best_acc:.4f}")
    return model


if __name__ == "__main__":
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), stage(64, 64, 1), stage(64, 128, 2), stage(128, 256, 2),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    train_model(model, nn.CrossEntropyLoss(), optimizer, lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1), num_epochs=100)
